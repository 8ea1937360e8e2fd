"""From figures to a page: tiles, sentences and the charts of each section."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from model.backends.selection import Compute
from pipelines.charts.chart import Chart
from pipelines.charts.marks import number
from pipelines.reporting import charts, quality_charts

METRICS = {
    "age_mae": ("mean absolute age error", "years"),
    "age_rmse": ("root mean square age error", "years"),
    "age_bias": ("age bias (predicted - true)", "years"),
    "age_within_3": ("age within 3 years", "%"),
    "age_within_5": ("age within 5 years", "%"),
    "age_within_10": ("age within 10 years", "%"),
    "age_coverage": ("true age inside the interval", "%"),
    "age_group_exact": ("age group exact", "%"),
    "age_group_one_off": ("age group exact or the next one", "%"),
    "age_in_range": ("age in its labelled range", "%"),
    "age_range_one_off": ("... or in the next one", "%"),
    "gender_accuracy": ("gender accuracy", "%"),
    "gender_auc": ("gender AUC", ""),
    "gender_ece": ("gender calibration error (ECE)", ""),
}
Figures = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table; `marks` is a CSS class for each row."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]
    marks: list[str] = dataclasses.field(default_factory=list[str])
    note: str = ""
    folded: bool = False


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading, sentences, charts side by side and tables below."""

    key: str
    title: str
    words: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()


def metric_text(name: str, value: Mapping[str, Any]) -> tuple[str, str]:
    """A metric and its interval: (`87.1 %`, `86.1 to 88.1`)."""
    unit = METRICS[name][1]
    if unit == "%":
        return f"{value['value']:.1%}", f"{value['low']:.1%} to {value['high']:.1%}"
    digits = 2 if unit else 3
    low, high = (f"{value[end]:.{digits}f}" for end in ("low", "high"))
    return f"{value['value']:.{digits}f}", f"{low} to {high}"


def metric_tiles(
    metrics: Figures, titles: Mapping[str, str], behind: str
) -> list[tuple[str, str, str]]:
    """Those of the metrics that there are as tiles: title, value, interval and what is behind."""
    tiles: list[tuple[str, str, str]] = []
    for name, title in titles.items():
        if isinstance(metrics.get(name), dict):
            value, interval = metric_text(name, metrics[name])
            tiles.append((title, value, f"{interval}{behind}"))
    return tiles


def sections(figures: Figures) -> list[Section]:
    """The page below the tiles."""
    parts = [_people(figures), _doubt(figures)]
    if figures["faces"]:
        parts.insert(0, _faces(figures))
    if figures["quality"]:
        parts += [_quality(figures["quality"]), _subgroups(figures["quality"])]
        if figures["quality"]["by_face"]:
            parts.append(_by_face(figures["quality"]))
    if figures["drift"]:
        parts.append(_drift(figures))
    if figures["places"]:
        parts.append(_places(figures))
    return [*parts, _lineage(figures)]


def _faces(figures: Figures) -> Section:
    none, counts = figures["faces"]["without_a_face"], figures["counts"]
    drawn = [charts.faces_a_picture(figures), charts.sizes(figures), charts.rolls(figures)]
    words = (
        f"{counts['faces']:,} faces were detected in {counts['scored']:,} images. Of "
        f"{none['pictures']:,} images that could be decoded, {counts['without_a_face']:,} show no "
        f"face: {none['share']:.1%}, 95% interval {none['low']:.1%} to {none['high']:.1%} "
        "(Wilson). All figures below count faces, so a person in ten images counts ten times.",
    )
    return Section("faces", "Faces in the images", words, tuple(c for c in drawn if c))


def _people(figures: Figures) -> Section:
    drawn = [charts.ages(figures), charts.pyramid(figures), charts.age_groups(figures)]
    words = ()
    if gender := figures["gender"]:
        words = (
            f"{gender['female']:,} are predicted as female and {gender['male']:,} as male: "
            f"{gender['share_female']:.1%} female, 95% interval {gender['low']:.1%} to "
            f"{gender['high']:.1%} (Wilson; sampling error only, without errors of the network).",
        )
    return Section("people", "Who is in the images", words, tuple(c for c in drawn if c))


def _doubt(figures: Figures) -> Section:
    drawn = [charts.confidence(figures), charts.interval_widths(figures)]
    words = ("The network's own confidence. Labels are needed to check it.",)
    if "interval_years" not in figures["means"]:
        words = (*words, "This bundle has no calibration, so there are no age intervals.")
    return Section("doubt", "Confidence", words, tuple(c for c in drawn if c))


def _quality(quality: Figures) -> Section:
    rows: list[tuple[object, ...]] = []
    for name, (title, unit) in METRICS.items():
        if name in quality["metrics"]:
            value, interval = metric_text(name, quality["metrics"][name])
            images = f"{quality['metrics'][name]['images']:,}"
            rows.append((title, f"{value}{' years' if unit == 'years' else ''}", interval, images))
    table = Table("Figures", ("measure", "value", "95% interval", quality["unit"]), rows)
    drawn = [
        quality_charts.density(quality),
        quality_charts.cumulative(quality),
        quality_charts.reliability(quality),
        quality_charts.roc(quality),
        quality_charts.coverage(quality, "true"),
        quality_charts.coverage(quality, "predicted"),
        *quality_charts.confusions(quality),
    ]
    words = (
        f"{quality['labelled']:,} predictions have a label. {_without_face(quality)}"
        "In brackets and bars: 95% intervals, bootstrap for means, Wilson for shares.",
    )
    return Section("quality", "How good it is", words, tuple(c for c in drawn if c), (table,))


def _without_face(quality: Figures) -> str:
    """How many labels belong to no face, and why; nothing where images are face crops."""
    reasons = quality["without_face"]
    if not reasons:
        return ""
    about = "About " if quality["one_in"] > 1 else ""
    told = "; ".join(f"{count:,}: {reason}" for reason, count in reasons.items())
    return f"{about}{sum(reasons.values()):,} labels match no face ({told}). "


def _by_face(quality: Figures) -> Section:
    words = ("Errors of labelled faces by size, roll and detector score.",)
    drawn = tuple(quality_charts.by_face(quality))
    return Section("by_face", "By size, roll and detector score", words, drawn)


def _subgroups(quality: Figures) -> Section:
    tables = _subgroup_tables(quality["subgroups"], quality["unit"])
    drawn = tuple(quality_charts.by_group(quality))
    return Section(
        "subgroups", "For whom it is better or worse", _gap_words(quality), drawn, tables
    )


def _gap_words(quality: Figures) -> tuple[str, ...]:
    """A sentence for each gap of age error and gender accuracy within age, gender and race."""
    names = {"age_mae": "age error", "gender_accuracy": "gender accuracy"}
    words: list[str] = []
    for key, gap in quality["gaps"].items():
        dimension, measure = key.split(".")
        if dimension == "all" or measure not in names:
            continue
        scale, unit = (1, " years") if measure == "age_mae" else (100, " points")
        ends = [" ".join(gap[end]["group"].values()) for end in ("least", "most")]
        verdict = "significant" if gap["significant"] else "not significant"
        chance = "p < 0.001" if gap["p_value"] < 0.001 else f"p = {gap['p_value']:.2g}"
        words.append(
            f"By {dimension}, {names[measure]} differs by {scale * gap['gap']:.1f}{unit} between "
            f"{ends[0]} and {ends[1]}: {verdict} ({chance}, Bonferroni)."
        )
    return tuple(words)


def _subgroup_tables(cells: Sequence[Figures], unit: str) -> tuple[Table, Table]:
    """The eight worst subgroups that are large enough, and all of them."""
    metrics = ("age_mae", "gender_accuracy", "age_coverage")
    rows: list[tuple[object, ...]] = []
    for cell in cells:
        measured = (cell["age_mae"], cell["gender_accuracy"], cell["coverage"])
        texts = [
            "{} ({})".format(*metric_text(metric, value)) if value else "–"
            for metric, value in zip(metrics, measured, strict=True)
        ]
        rows.append((*cell["group"].values(), f"{cell['images']:,}", *texts))
    marks = ["small" if cell["small"] else "" for cell in cells]
    dimensions = tuple(cells[0]["group"]) if rows else ()
    columns = (*dimensions, unit, "age error, years", "gender accuracy", "interval holds")
    note = f"Grey: fewer than 30 {unit}, too few for reliable figures."
    big = [row for row, mark in zip(rows, marks, strict=True) if not mark][:8]
    return (
        Table(f"The worst subgroups by age error, of 30 {unit} or more", columns, big),
        Table("Every subgroup, worst age error first", columns, rows, marks, note, folded=True),
    )


def _drift(figures: Figures) -> Section:
    rows: list[tuple[object, ...]] = [
        (
            row["name"], row["kind"], "–" if row["psi"] is None else f"{row['psi']:.3f}",
            "–" if row["ks"] is None else f"{row['ks']:.3f}", row["light"],
        )
        for row in figures["drift"]["columns"]
    ]  # fmt: skip
    marks = [f"light-{row['light']}" for row in figures["drift"]["columns"]]
    words = (f"Against {figures['drift']['against']}. {figures['drift']['rule']}.",)
    if skipped := figures["drift"]["skipped"]:
        words += (
            f"Not compared: {', '.join(skipped)}. They describe whole images, and faces were "
            "detected on one side only.",
        )
    table = Table("Drift", ("column", "kind", "PSI", "KS", "light"), rows, marks)
    drawn = tuple(charts.drifted(figures))
    return Section("drift", "Drift from the reference", words, drawn, (table,))


def _places(figures: Figures) -> Section:
    pictures = ("pictures",) if figures["faces"] else ()
    rows: list[tuple[object, ...]] = [
        (
            row["place"], *(f"{row[name]:,}" for name in pictures), f"{row['images']:,}",
            f"{row['age_years']:.1f}" if "age_years" in row else "–",
            f"{row['p_female']:.1%}" if "p_female" in row else "–",
        )
        for row in figures["places"]
    ]  # fmt: skip
    columns = ("group", *pictures, figures["unit"], "mean age", "mean P(female)")
    return Section("places", "By group of uris", tables=(Table("The 50 largest", columns, rows),))


def _finding(run: Figures) -> list[tuple[object, ...]]:
    """How faces were detected, if they were."""
    if not (finding := run.get("detection")):
        return []
    names = {
        "by": "faces detected and aligned by",
        "min_score": "minimum score of a face",
        "min_eye_distance_px": "minimum distance of the eyes, pixels",
        "max_faces": "maximum faces per image",
    }
    return [(title, finding[name]) for name, title in names.items() if name in finding]


def _lineage(figures: Figures) -> Section:
    run, bundle, counts = figures["run"], figures["bundle"], figures["counts"]
    versions = ", ".join(f"{k} {v}" for k, v in (run.get("versions") or {}).items())
    facts: list[tuple[object, ...]] = [
        ("predictions", figures["predictions"]),
        ("input", next((run[k] for k in ("images", "manifest", "table") if k in run), "–")),
        ("input fingerprint", run.get("fingerprint") or run.get("frozen_inputs") or "–"),
        ("bundle", f"{run.get('bundle', '–')} ({', '.join(figures['bundles'])})"),
        ("preset", bundle.get("name", "–")),
        ("trained on manifest", bundle.get("manifest_fingerprint", "–")),
        ("preprocessing", run.get("preprocessing", "–")),
        *_finding(run),
        ("network", Compute.of(run).words if "precision" in run else "–"),
        ("test-time augmentation, views", run.get("views", 1)),
        ("interval coverage requested", f"{run['coverage']:.0%}" if "coverage" in run else "–"),
        ("files", f"{counts['files']:,}"),
        ("finished", run.get("finished_at", "–")),
        ("duration of the last run", f"{run['seconds']:,.0f} s" if "seconds" in run else "–"),
        ("versions", versions or "–"),
        ("this report", figures["made_at"]),
    ]
    reasons: list[tuple[object, ...]] = [
        (reason, number(n)) for reason, n in sorted(counts["quarantine_reasons"].items())
    ]
    shown = [Table("Run", ("what", "value"), facts)]
    if reasons:
        shown.append(Table("Not scored, by reason", ("stage: error", "inputs"), reasons))
    return Section("lineage", "Lineage", tables=tuple(shown))
