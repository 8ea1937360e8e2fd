"""The model card of a bundle: MODEL_CARD.md and MODEL_CARD.html, from bundle.json and figures."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from model.bundle import Bundle
from model.checksums import CARD_FILES
from model.errors import UsageError
from model.layer_graph import Layer, layers_of
from pipelines import storage
from pipelines.bundles import describe
from pipelines.bundles.cards import is_at, put_card
from pipelines.bundles.opening import open_bundle
from pipelines.charts.curves import curves
from pipelines.charts.network import layer_graph
from pipelines.manifests.labels.utkface import UTKFACE
from pipelines.reporting import page, sections
from pipelines.reporting.figures import collect
from pipelines.reporting.options import CardOptions, ReportOptions
from pipelines.reporting.sections import Section, Table

USE = (
    "Estimating apparent age and gender over many pictures at once: statistics of a collection, "
    "data quality, research on such estimates.",
    "Not for age gating, not for identifying anybody, not for decisions about people: a single "
    "estimate can be decades off, and the interval beside it says so.",
    "Gender is one of two labels given by annotators; it says nothing of how a person identifies.",
)
RACE = (
    "This bundle has a head for UTKFace's five race labels, which are other people's guesses at "
    "appearance. Predicting them of a person is not a use we support, and scoring writes no such "
    "column."
)
TAUGHT_RACE = (
    "UTKFace's race labels were an auxiliary task while it was trained (the curves of race below); "
    "this bundle holds nothing that predicts them."
)
DATA = (
    "Trained on UTKFace (https://susanqq.github.io/UTKFace/), which is for non-commercial research "
    "only; the copyright of the pictures stays with their owners, and that limit is best taken to "
    "reach the weights.",
    "UTKFace's ages are estimates of the DEX network checked by a person, not birth dates: part of "
    "the error measured here is in the labels. In 177 of 309 groups of byte-identical files the "
    "labels contradict each other.",
    "Splits follow the content of the files, so no picture stands in two of them.",
)
_TILES = {
    "age_mae": "age error, years", "age_within_5": "within 5 years",
    "age_in_range": "age in its range", "gender_accuracy": "gender right",
    "gender_auc": "gender AUC",
}  # fmt: skip
_OTHER = (
    "Trained on labelled images that are not UTKFace's: whose they are, under which licence, and "
    "how their labels were made is for whoever trained it to say beside this card.",
)
_DRAWN = (
    "Trained on faces drawn by facemill's demo: it has never seen a real face, and its figures "
    "say nothing about real ones.",
)


_FINAL = (
    "This network learned from all labelled images that there were. The figures below are "
    "cross-validated figures of the recipe, over {images:,} answers about {different:,} different "
    "pictures: {folds} networks trained alike answered for those that they had not seen; no image "
    "here measures this very network."
)


def card(options: CardOptions) -> list[str]:
    """Write a bundle's card, with a table of subgroups where there are predictions with labels.

    Returns:
        URIs of its files.

    Raises:
        UsageError: the predictions are another bundle's.
    """
    output = storage.normalize(options.output)
    folder = output.rsplit("/", 1)[0] if output.endswith(".html") else output
    bundle = open_bundle(options.bundle)
    figures = None
    if options.predictions is not None:
        asked = ReportOptions(options.predictions, options.labels, split=options.split)
        figures = collect(asked)
        if bundle.id not in figures["bundles"]:
            raise UsageError(
                f"`predictions` {options.predictions} were made by "
                f"{', '.join(figures['bundles'])}, not by bundle {bundle.id}"
            )
    return write_card(bundle, folder, figures)


def write_card(bundle: Bundle, folder: str, figures: Mapping[str, Any] | None = None) -> list[str]:
    """Write both files below `folder`.

    Args:
        bundle: what to describe.
        folder: local or s3://.
        figures: of `figures.collect` with labels, for the subgroup table; or None.

    Returns:
        The URIs written.
    """
    card_sections = _sections(bundle, figures)
    title = f"Model card: {bundle.name}"
    subtitle = f"Bundle {bundle.id}, preprocessing {bundle.input.hash}"
    html = page.render_page(
        title=title, subtitle=subtitle, tiles=_tiles(bundle), warnings=[], sections=card_sections,
        made_at=time.strftime("%Y-%m-%d", time.gmtime()),
    )  # fmt: skip
    texts = (_markdown(title, subtitle, card_sections), html)
    files = {name: text.encode() for name, text in zip(CARD_FILES, texts, strict=True)}
    if is_at(bundle, folder):
        return put_card(bundle, folder, files)
    for name, data in files.items():
        storage.write_bytes(storage.join(folder, name), data)
    return [storage.join(folder, name) for name in files]


def _markdown(title: str, subtitle: str, card_sections: Sequence[Section]) -> str:
    """The card without its charts, each as its numbers."""
    lines = [f"# {title}", "", f"{subtitle}."]
    for section in card_sections:
        lines += ["", f"## {section.title}", ""]
        lines += [f"- {text}" for text in section.words]
        for part in (*section.tables, *section.charts):
            lines += ["", f"**{part.title}**", "", "| " + " | ".join(part.columns) + " |"]
            lines.append("|" + "---|" * len(part.columns))
            lines += ["| " + " | ".join(map(str, row)) + " |" for row in part.rows]
            if part.note:
                lines += ["", part.note]
    return "\n".join(lines) + "\n"


def _tiles(bundle: Bundle) -> list[tuple[str, str, str]]:
    epochs = len(bundle.record.get("history") or [])
    kept = "the last" if "cross_fitting" in bundle.record else "best"
    shown = [("preset", bundle.name, f"{kept} of {epochs} epochs")]
    every = bundle.record.get("metrics") or {}
    split = "test" if "test" in every else "cross_validated"
    metrics = every.get(split) or {}
    words = "test split" if split == "test" else "cross-validated, of the recipe"
    return shown + sections.metric_tiles(metrics, _TILES, f", {words}")


def _sections(bundle: Bundle, figures: Mapping[str, Any] | None) -> list[Section]:
    record = bundle.record
    labels = (record.get("training") or {}).get("labels", UTKFACE)
    data = _DRAWN if bundle.name == "demo" else DATA if labels == UTKFACE else _OTHER
    card_sections = [
        Section("use", "Intended use, and what it is not for", (*USE, *_race(bundle))),
        Section("data", "Data, licence and labels", data),
        _metrics(record),
    ]
    if figures and figures["quality"]:
        quality = sections.sections(figures)
        measured = ("quality", "subgroups", "by_face")
        card_sections += [part for part in quality if part.key in measured]
    fitted = [(name, value) for name, value in describe.calibration(dict(record))]
    words = "Intervals and probabilities were fitted on the val split alone."
    if crossed := record.get("cross_fitting"):
        words = f"Intervals and probabilities were fitted out of fold. {crossed['assumption']}"
    where = "out-of-fold rows" if crossed else "the val split"
    table = Table(f"Fitted on {where}", ("what", "value"), [*fitted])
    card_sections.append(Section("calibration", "Calibration", (words,), tables=(table,)))
    card_sections.append(_training(record))
    card_sections.append(_network(layers_of(bundle)))
    return card_sections


def _network(layers: Sequence[Layer]) -> Section:
    rows: list[tuple[object, ...]] = [
        (layer.name, layer.kind, layer.size, ", ".join(layer.sources)) for layer in layers
    ]
    table = Table("Layers", ("layer", "kind", "size", "from"), rows, folded=True)
    drawn = (layer_graph(layers),) if layers else ()
    return Section("network", "Network", charts=drawn, tables=(table,))


def _race(bundle: Bundle) -> tuple[str, ...]:
    """What a bundle says that kept a head for race labels, or was trained with one."""
    if any(head.label == "race" for head in bundle.heads):
        return (RACE,)
    trained = (bundle.record.get("recipe") or {}).get("auxiliary") or ()
    return (TAUGHT_RACE,) if "race" in trained else ()


def _metrics(record: Mapping[str, Any]) -> Section:
    """Val and test figures of bundle.json with their intervals."""
    rows: list[tuple[object, ...]] = []
    for split, measured in (record.get("metrics") or {}).items():
        for name, value in measured.items():
            if isinstance(value, dict) and name in sections.METRICS:
                text, interval = sections.metric_text(name, value)  # type: ignore[arg-type]
                title, images = sections.METRICS[name][0], f"{value['images']:,}"
                rows.append((split, title, text, interval, images))
            elif isinstance(value, int | float):
                rows.append((split, name, f"{value:.4f}", "–", "–"))
    table = Table("Metrics", ("split", "metric", "value", "95% interval", "images"), rows)
    words = ()
    if crossed := record.get("cross_fitting"):
        words = (_FINAL.format(**crossed, different=record["seen"]["images"]),)
    return Section("metrics", "Metrics", words, tables=(table,))


def _training(record: Mapping[str, Any]) -> Section:
    """How it was trained: its settings, and loss and score of each head by epoch."""
    history: list[dict[str, float]] = list(record.get("history") or [])
    recipe, run = record.get("recipe") or {}, record.get("training") or {}
    facts: list[tuple[object, ...]] = [
        ("recipe", recipe.get("source", "–")),
        ("optimizer", _plain(recipe.get("optimizer", {}))),
        ("augmentation", _plain(recipe.get("augmentation", {}))),
        *_run(run),
        ("manifest", record.get("manifest_fingerprint", "–")),
        ("versions", ", ".join(f"{k} {v}" for k, v in (record.get("versions") or {}).items())),
    ]
    table = Table("Run", ("what", "value"), facts)
    return Section("training", "Training", charts=tuple(curves(history)), tables=(table,))


def _run(run: Mapping[str, Any], step: str = "") -> list[tuple[object, ...]]:
    """What is known of a training, and below it of the one whose weights it began with."""
    facts = [(f"{step}{name}", _as_text(v)) for name, v in run.items() if name != "start_training"]
    before = run.get("start_training")
    return facts + (_run(before, f"{step}start: ") if before else [])


def _as_text(value: object) -> object:
    """A list as its items, e.g. the ids of the bundles that taught this one; nothing as a dash."""
    if isinstance(value, dict):
        return json.dumps({"options": value})  # as a file: what `config` of jobs.train takes
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"  # type: ignore[arg-type]
    return "–" if value is None else value


def _plain(settings: Mapping[str, Any]) -> str:
    """Settings that are switched on, as text."""
    return ", ".join(f"{key} {value}" for key, value in settings.items() if value) or "none"
