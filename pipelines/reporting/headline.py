"""What stands above the sections of the page: its title, the numbers on top, and warnings."""

from collections.abc import Mapping
from typing import Any

from pipelines.reporting import sections

Figures = Mapping[str, Any]
_MEASURED = {
    "age_mae": "mean age error, years", "gender_accuracy": "gender accuracy",
    "age_coverage": "interval holds", "gender_ece": "calibration error",
}  # fmt: skip


def tiles(figures: Figures) -> list[tuple[str, str, str]]:
    """The five to ten numbers on top: (name, value, what it says)."""
    run, means = figures["run"], figures["means"]
    shown = _inputs(figures["counts"], run.get("images_per_s"))
    if "age_years" in means:
        shown.append(("mean age", f"{means['age_years']:.1f}", "years, as predicted"))
    if gender := figures["gender"]:
        words = f"{gender['low']:.1%} to {gender['high']:.1%} (Wilson 95%)"
        shown.append(("female", f"{gender['share_female']:.1%}", words))
    metrics = figures["quality"]["metrics"] if figures["quality"] else {}
    return shown + sections.metric_tiles(metrics, _MEASURED, " (95%)")


def title(figures: Figures) -> str:
    """What stands on top of the page."""
    counts = figures["counts"]
    if counts["faces"] is None:
        return f"Ages and genders of {counts['scored']:,} images"
    return f"Ages and genders of {counts['faces']:,} faces in {counts['scored']:,} images"


def _inputs(counts: Figures, rate: float | None) -> list[tuple[str, str, str]]:
    """Tiles of what was scored and what was not: images, and the faces in them."""
    scored, failed, others = counts["scored"], counts["failed"], counts["other_files"]
    total = scored + counts["without_a_face"] + failed
    beside = f"; {others:,} other files skipped" if others else ""
    if counts["faces"] is None:
        speed = f"{rate:,.0f} images/s" if rate else ""
        share = f"{failed / total:.2%} of {total:,} inputs{beside}"
        return [("images scored", f"{scored:,}", speed), ("not scored", f"{failed:,}", share)]
    speed = f"{rate:,.0f} images/s" if rate else ""
    a_picture, skipped = counts["faces"] / max(1, scored), counts["faces_skipped"]
    more = f"; {skipped:,} more skipped as too small or too many" if skipped else ""
    none, share = counts["without_a_face"], f"{failed / total:.2%} of {total:,} images{beside}"
    return [
        ("images with faces", f"{scored:,}", speed),
        ("faces", f"{counts['faces']:,}", f"{a_picture:.2f} per image{more}"),
        ("without a face", f"{none:,}", f"{none / total:.2%} of {total:,} images"),
        ("not scored", f"{failed:,}", share),
    ]


def warnings(figures: Figures) -> list[str]:
    """What a reader must know before believing a figure."""
    texts: list[str] = []
    if len(figures["bundles"]) > 1:
        bundles = ", ".join(f"{name} ({rows:,})" for name, rows in figures["bundles"].items())
        texts.append(f"Rows of {len(figures['bundles'])} bundles are mixed here: {bundles}.")
    for name, count in figures["not_a_number"].items():
        texts.append(f"{count:,} rows have NaN in {name}: counted here, in no other figure.")
    counts = figures["counts"]
    duplicates = counts["duplicate_uris"]
    if duplicates:
        one_in = counts["duplicates_looked_at_one_in"]
        about = f"about {duplicates:,} (one uri in {one_in} was checked)"
        repeated = "uri" if counts["faces"] is None else "face of an image"
        texts.append(f"{about if one_in > 1 else f'{duplicates:,}'} rows repeat a {repeated}.")
    quality = figures["quality"]
    if quality and quality["splits"].get("train"):
        texts.append(
            f"{quality['splits']['train']:,} of the labelled {quality['unit']} are in the train "
            "split: if the network was trained on them, these figures are too good. Report on "
            "the test split alone."
        )
    if quality and quality["one_in"] > 1:
        texts.append(
            f"Quality is measured on {quality['measured_on']:,} of {quality['labelled']:,} "
            f"labelled {quality['unit']}, chosen by a hash of their uri."
        )
    if quality and (figures["run"].get("detection") or {}).get("max_faces") == 1:
        texts.append(
            "Only the largest face of each image was kept, so it is unknown whether it is clearly "
            "the largest: a label without a box may belong to another person."
        )
    if figures["run"] and "finished_at" not in figures["run"]:
        texts.append("The run has not finished: the report shows the rows so far.")
    return texts
