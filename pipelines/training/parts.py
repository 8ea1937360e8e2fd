"""The folds' trainings: which images each of them learns from, is chosen by and is measured on."""

import dataclasses
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from model.errors import UsageError
from pipelines import storage
from pipelines.manifests.leakage import share_seen, told
from pipelines.manifests.splits import Fold, identities_of
from pipelines.training import layout
from pipelines.training.claim import TrainingJob
from pipelines.training.preparing import require_labels


@dataclasses.dataclass(frozen=True)
class Part:
    """One fold: its training, and the labelled images with the splits that it is to see."""

    index: int
    job: TrainingJob
    table: pa.Table


def parts_of(job: TrainingJob, table: pa.Table) -> list[Part]:
    """The folds' trainings, each with its own splits of the labelled images.

    Raises:
        UsageError: a fold, or what its network would learn from or be chosen by, has too little;
            the weights that it begins with have seen what it is to be measured on.
    """
    count = job.options.cross_validation.folds or 0
    names, divided = identities_of(table), divided_rows(job, table)
    place = table.column_names.index("split")
    parts: list[Part] = []
    for index in range(count):
        fold = Fold(index, count)
        seen_as = [
            fold.split_of(name) if is_divided else "train"
            for name, is_divided in zip(names, divided, strict=True)
        ]
        column = pa.array(seen_as).dictionary_encode()
        kind = table.schema.field("split")
        seen = table.set_column(place, kind, column.cast(kind.type))
        title = f"fold {index} of {count}"
        folder = layout.fold(index)
        output, start = storage.join(job.output, folder), job.start and job.start.of(folder)
        one = dataclasses.replace(job, output=output, part=title, start=start)
        part = Part(index, one, seen)
        _require_enough(part, title)
        if start:
            own = part.table.filter(pc.field("split") == "test")
            require_unseen_by(own, "start_from", start.name, start.seen)
        parts.append(part)
    return parts


def divided_rows(job: TrainingJob, table: pa.Table) -> list[bool]:
    """Which rows are divided into folds: all, or those whose image is in one of the named splits.

    So is a copy of such an image, whatever split it is in itself: no fold learns from a copy of
    what it is measured on.
    """
    named = job.options.cross_validation.divided
    if not named:
        return [True] * table.num_rows
    rows = list(zip(identities_of(table), table["split"].to_pylist(), strict=True))
    divided = {name for name, split in rows if split in named}
    return [name in divided for name, _ in rows]


def _require_enough(part: Part, title: str) -> None:
    """Say which fold it is that lacks something.

    Raises:
        UsageError: see `parts_of`.
    """
    if "test" not in part.table["split"].to_pylist():
        raise UsageError(f"{title} holds no labelled image: choose fewer `folds`, or label more")
    try:
        require_labels(part.job, part.table)
    except UsageError as error:
        raise UsageError(f"{title}: {error}") from None


def require_unseen_by(measured: pa.Table, option: str, name: str, seen: Any) -> None:
    """Refuse what would let a fold's network know the images that it is to be measured on.

    Args:
        measured: those images.
        option: what brings it.
        name: of the network.
        seen: which images it learned from, as its bundle says.

    Raises:
        UsageError: it learned from some of them.
    """
    if share := share_seen({"seen": seen}, measured):
        raise UsageError(
            f"`{option}` {name} was trained on {told(share)} of these images, so its predictions "
            f"are not out of fold: leave `{option}` out, or give a network not trained on them"
        )
