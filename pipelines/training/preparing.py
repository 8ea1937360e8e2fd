"""Before the first step: images decoded into files that workers map, with targets and weights."""

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from model.heads import encode_target
from model.weighting import example_weights
from pipelines import storage
from pipelines.bundles.labelled_images import LabelledImages
from pipelines.images.pixel_cache import CachedPixels, decoded, local_folder
from pipelines.manifests import manifest
from pipelines.manifests.conflicts import kept_rows, with_conflicts_resolved
from pipelines.manifests.splits import SPLITS
from pipelines.training import layout
from pipelines.training.feeding import Split
from pipelines.training.job import TrainingJob
from pipelines.training.plan import require_a_batch


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What workers learn from.

    Attributes:
        train, val: ObjectRefs of a `feeding.Split`.
        images: of all splits; those of train and val are decoded.
        rejects: what could not be decoded.
    """

    train: Any
    val: Any
    images: LabelledImages
    rejects: tuple[str, ...]


def decode_splits(
    job: TrainingJob,
    table: pa.Table,
    pixels: CachedPixels | None = None,
    taught: Mapping[str, Any] | None = None,
) -> Prepared:
    """Decode train and val once, into files that the workers map into memory.

    Args:
        job: what to train.
        table: the manifest.
        pixels: of all rows of the table, if they are decoded already.
        taught: head name -> float32 (n, width), to be learned beside the label of each row of
            train, if other networks have answered them.

    Raises:
        UsageError: too few images for one batch.
    """
    cached = by_split(table, pixels) if pixels else _decoded(job, table)
    learned = _split(job, manifest.labelled(table, "train"), cached["train"], True, taught)
    if job.validated:
        measured = _split(job, manifest.labelled(table, "val"), cached["val"], False)
    else:
        measured = learned.empty()
    images = LabelledImages(table, job.recipe.input, cached)
    rejects = {name: None for part in cached.values() for name in part.rejects}
    return Prepared(ray.put(learned), ray.put(measured), images, tuple(rejects))


def _decoded(job: TrainingJob, table: pa.Table) -> dict[str, CachedPixels]:
    """Pixels of train and val, decoded into a file each."""
    return {
        split: decoded(
            manifest.labelled(table, split), job.recipe.input, cache_of(job), f"decode {split}"
        )
        for split in ("train", "val")
    }


def by_split(table: pa.Table, pixels: CachedPixels) -> dict[str, CachedPixels]:
    """Pixels of each split, of rows that are all labelled and decoded into one file."""
    splits: Any = np.array(table["split"].to_pylist())
    return {split: pixels.of(splits == split) for split in SPLITS if (splits == split).any()}


def _split(
    job: TrainingJob,
    rows: pa.Table,
    pixels: CachedPixels,
    is_train: bool,
    taught: Mapping[str, Any] | None = None,
) -> Split:
    """The rows that are learned from or measured on, with targets and weights."""
    conflicts = job.options.learning.conflicting_duplicates if is_train else "keep"
    frame: Any = rows.to_pandas()
    usable = np.zeros(rows.num_rows, dtype=bool)
    usable[pixels.rows] = True
    usable &= kept_rows(frame, conflicts).to_numpy()
    index = np.flatnonzero(usable)
    if is_train:
        require_a_batch(job, len(index))  # what cannot be decoded is gone
    good = manifest.from_frame(with_conflicts_resolved(frame, conflicts)).take(
        pa.array(index, pa.int64())
    )
    targets = {
        head.name: encode_target(head, manifest.codes(good, head.label), *manifest.age_ranges(good))
        for head in job.recipe.heads
    }
    weights = example_weights(
        job.options.learning.balance if is_train else "none",
        manifest.codes(good, "age_years"),
        manifest.codes(good, "gender"),
    )
    places = np.zeros(rows.num_rows, dtype=np.int64)
    places[pixels.rows] = pixels.places
    told = {name: values[index] for name, values in (taught or {}).items()}
    return Split(pixels.file, places[index], targets, weights, told)


def cache_of(job: TrainingJob) -> str:
    """Where decoded images go: `cache`, or beside the run while it lasts, always on a disk."""
    if job.options.run.cache:
        return storage.normalize(job.options.run.cache)
    if storage.is_local(job.output):
        return storage.join(job.output, layout.DECODED)
    return str(local_folder(job.output))


def drop_decoded(job: TrainingJob) -> None:
    """Remove the decoded images of a run that is over, unless a cache was asked for."""
    if not job.options.run.cache:
        with contextlib.suppress(OSError):  # what is left costs disk and nothing else
            storage.delete_tree(cache_of(job))
