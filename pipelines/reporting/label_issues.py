"""The page of labels that may be wrong: what a training with folds left in label_issues.parquet."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from model.errors import UsageError
from pipelines import storage
from pipelines.predictions import layout
from pipelines.predictions.label_issues import LABELS, conflicting_duplicates_of
from pipelines.reporting import contact_sheet, page
from pipelines.reporting.contact_sheet import Sheet
from pipelines.reporting.options import LabelIssuesOptions
from pipelines.reporting.sections import Section, Table
from pipelines.storage import tables

_SHOWN = 100  # label_issues in the table, and faces if asked for
_RECALL_AT = (50, 100, 200, 500, 1000, 2000)
_MAX_GROUPS = 500
_FAR_YEARS = 10  # what lies closer, annotators may well disagree about
Row = Mapping[str, Any]

HOW = (
    "Each label is compared with the prediction of a network that was not trained on the image. "
    "Gender: confident learning (Northcutt 2021), ranked by the probability of the label. Age: "
    "labels outside the 90 % interval, ranked by the share of all labels that are as far from "
    "their prediction, in halves of their intervals.",
    "A label issue is not yet an error: networks err too, most of all on faces that are rare in "
    "the data. Look at the image before you change a label.",
)


def write_page(options: LabelIssuesOptions) -> list[tuple[str, object]]:
    """Write the page of a run's label issues.

    Returns:
        What stands on top of it, rows of name and value; the last is where the page is.

    Raises:
        UsageError: the run was no cross-validation, or is not done.
    """
    place, output = (
        storage.normalize(options.run),
        page.file_of(options.output, "label_issues.html"),
    )
    uri = place if place.endswith(".parquet") else storage.join(place, layout.LABEL_ISSUES)
    if not storage.exists(uri):
        raise UsageError(
            f"`run` {place} has no {layout.LABEL_ISSUES}: give the `output` of "
            "jobs.cross_validate, once all folds are done"
        )
    table = tables.read_table(uri)
    first: Sequence[Row] = table.slice(0, _SHOWN).to_pylist()
    tiles = _tiles(table)
    text = page.render_page(
        title="Labels that may be wrong",
        subtitle=f"{table.num_rows:,} labels of {place}.",
        tiles=tiles,
        warnings=[],
        sections=[_ranked(first), _copies(table)],
        sheets=_sheets(first) if options.show_faces else (),
        made_at=time.strftime("%Y-%m-%d", time.gmtime()),
    )
    storage.write_bytes(output, text.encode())
    return [*((name, f"{value}  {says}") for name, value, says in tiles), ("output", output)]


def _tiles(table: pa.Table) -> list[tuple[str, str, str]]:
    """How many label issues there are, and how many conflicting duplicates come first."""
    rows: Any = table.select(["label", "implausible"]).to_pandas()
    counts = rows[rows["implausible"]]["label"].astype(str).value_counts()
    torn = conflicting_duplicates_of(table)
    how = {"age": "outside the interval", "gender": "by confident learning"}
    return [
        *((f"{label} label issues", f"{counts.get(label, 0):,}", how[label]) for label in LABELS),
        ("conflicting duplicates", f"{len(torn):,}", "groups of copies with several labels"),
        ("of them found", f"{(torn['rank'] <= 500).sum():,}", "with a label among the first 500"),
    ]


def _ranked(first: Sequence[Row]) -> Section:
    rows: list[tuple[object, ...]] = [
        (
            row["rank"], row["label"], row["labelled"], row["answered"],
            f"{row['plausibility']:.2g}", row["copies_say"] or "", row["uri"],
        )
        for row in first
    ]  # fmt: skip
    columns = ("rank", "label", "labelled", "predicted", "plausibility", "copies' labels", "image")
    table = Table(f"The {len(rows)} least plausible labels", columns, rows)
    return Section("label_issues", "Implausible labels", HOW, tables=(table,))


def _copies(table: pa.Table) -> Section:
    """How many conflicting duplicates the ranking finds by itself, and which they are."""
    torn = conflicting_duplicates_of(table)
    kinds = {
        "gender": torn["label"] == "gender",
        "age": torn["label"] == "age",
        f"age, over {_FAR_YEARS} years apart": torn["years"] > _FAR_YEARS,
    }
    recall: list[tuple[object, ...]] = [
        (
            f"{first:,}",
            *(
                f"{(torn.loc[kind, 'rank'] <= first).sum():,} of {kind.sum():,}"
                for kind in kinds.values()
            ),
        )
        for first in _RECALL_AT
        if first <= table.num_rows or first == _RECALL_AT[0]
    ]
    listed: list[tuple[object, ...]] = [
        (row.rank, row.label, row.copies_say, row.answered, row.uri)
        for row in torn.head(_MAX_GROUPS).itertuples()
    ]
    found_table = Table("Groups found", ("label issues checked", *kinds), recall)
    groups_table = Table(
        "Conflicting duplicates",
        ("rank", "label", "labels of copies", "predicted", "one of them"),
        listed,
        folded=True,
    )
    words = (
        "Of byte-identical files with different labels, at least one label is wrong. The "
        "ranking does not use this, so the share that it ranks first measures how well "
        "it finds wrong labels.",
    )
    return Section("copies", "Conflicting duplicates", words, tables=(found_table, groups_table))


def _sheets(first: Sequence[Row]) -> list[Sheet]:
    shown = [
        contact_sheet.face(row, f"{row['rank']}: {row['labelled']}, predicted {row['answered']}")
        for row in first
    ]
    faces = [one for one in shown if one]
    return [Sheet("The least plausible labels", faces)] if faces else []
