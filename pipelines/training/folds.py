"""Cross-fitting: a training a fold, each without that fold's images, and what they say together.

A fold is a training like any other: its output is OUTPUT/fold-k, its test split is the fold, its
val split a tenth of the rest (pipelines/manifests/splits.py). All labelled images are decoded once
and shared. As many trainings run at once as the cluster has room for, each in a thread of this
driver, below one lease.
"""

import contextlib
import dataclasses
import os
import queue
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from model.bundle import RECORD_FILE
from model.engines.choosing import INT8
from model.errors import UsageError
from model.predictor import Predictor
from pipelines import storage
from pipelines.bundles.calibrating import LabelledImages, walk
from pipelines.bundles.opening import open_bundle
from pipelines.cluster.errors import as_resumable_failure
from pipelines.images.pixel_cache import CachedPixels, decoded
from pipelines.manifests import manifest
from pipelines.manifests.seen import share_seen
from pipelines.manifests.splits import Fold, identities
from pipelines.predictions import out_of_fold
from pipelines.predictions.suspects import suspects
from pipelines.storage import tables
from pipelines.storage.lease import Lease
from pipelines.telemetry.log import note
from pipelines.telemetry.phases import phase
from pipelines.training import layout
from pipelines.training.claim import Trained, TrainingJob, claim
from pipelines.training.comparing import require_comparable
from pipelines.training.final import train_final, with_int8
from pipelines.training.fold_figures import Measured, measure_folds
from pipelines.training.preparing import by_split, cache_of, drop_decoded, require_labels
from pipelines.training.run import Together, train_under


@dataclasses.dataclass(frozen=True)
class Part:
    """One fold: its training, and the labelled images with the splits that it is to see."""

    index: int
    job: TrainingJob
    table: pa.Table


@dataclasses.dataclass(frozen=True)
class CrossFitted:
    """What a run with folds left behind.

    Attributes:
        trained: of each fold.
        record: metrics.json.
        rejects: what could not be decoded.
        final: the network that saw every label, if it was asked for.
    """

    trained: tuple[Trained, ...]
    record: Mapping[str, Any]
    rejects: tuple[str, ...]
    final: Trained | None = None

    @property
    def already_done(self) -> bool:
        """Whether an earlier call had trained all of it."""
        every = (*self.trained, *([self.final] if self.final else []))
        return all(one.already_done for one in every)


def train_folds(job: TrainingJob, cpus_per_worker: int = 1, at_once: int = 1) -> CrossFitted:
    """Train every fold to its end, resuming where each stood, and measure them all together.

    Args:
        job: what to train; its options have `folds`.
        cpus_per_worker: cores of each worker, where the options leave that open.
        at_once: how many trainings to run at a time.

    Raises:
        UsageError: as `train`; a fold has too few images; a teacher or the weights to begin with
            have seen the images.
        TrainingError: a fold's training cannot go on; the others are at their last checkpoints.
    """
    with as_resumable_failure("trained"), Lease(job.output) as lease:
        names = ["uri", "age_years", "gender", "split"]
        table = manifest.labelled(manifest.read_manifest(job.manifest, names), None)
        divided = job.options.cross_fitting.divided
        for teacher in job.teachers:
            _require_unseen(table, divided, "teachers", teacher.name, teacher.record.get("seen"))
        require_comparable(job)
        parts = parts_of(job, table)
        claim(job, manifest.fingerprint(table))
        pixels = _pixels(job, table, parts)
        together = Together(pixels, threading.Lock())

        def one(part: Part) -> Trained:
            trained = train_under(lease, part.job, part.table, cpus_per_worker, together)
            _answer(part, trained, together)
            return trained

        trained = _at_once(one, parts, at_once)
        lease.confirm()
        known = _measured(job, parts, trained)
        final = None
        if job.options.cross_fitting.final:
            final = train_final(lease, job, table, cpus_per_worker, pixels, known)
        drop_decoded(job)
    return CrossFitted(tuple(trained), known.record, pixels.rejects if pixels else (), final)


def _pixels(job: TrainingJob, table: pa.Table, parts: Sequence[Part]) -> CachedPixels | None:
    """All labelled images, decoded; None where no training is left that would look at them."""
    left = [storage.join(part.job.output, layout.OUT_OF_FOLD) for part in parts]
    if job.options.cross_fitting.final:
        left.append(storage.join(job.output, layout.FINAL, layout.BUNDLE, RECORD_FILE))
    if all(map(storage.exists, left)):
        return None
    with phase("decode") as facts:
        pixels = decoded(table, job.recipe.input, cache_of(job), "decode")
        facts["images"], facts["not_decodable"] = table.num_rows, len(pixels.rejects)
    return pixels


def parts_of(job: TrainingJob, table: pa.Table) -> list[Part]:
    """The folds' trainings, each with its own splits of the labelled images.

    Raises:
        UsageError: a fold, or what its network would learn from or be chosen by, has too little;
            the weights that it begins with have seen what it is to be measured on.
    """
    count = job.options.cross_fitting.folds or 0
    names = identities(table.select(["uri", "offset", "content_hash", "etag"]).to_pandas())
    place = table.column_names.index("split")
    splits, divided = table["split"].to_pylist(), job.options.cross_fitting.divided
    parts: list[Part] = []
    for index in range(count):
        fold = Fold(index, count)
        seen_as = [
            fold.split_of(name) if given in divided else "train"
            for name, given in zip(names, splits, strict=True)
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
            _require_unseen(part.table, ["test"], "start_from", start.name, start.seen)
        parts.append(part)
    return parts


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


def _require_unseen(
    table: pa.Table, splits: Sequence[str], option: str, name: str, seen: Any
) -> None:
    """Refuse what would let a fold's network know the images that it is to be measured on.

    Args:
        table: labelled images.
        splits: in which those are that are to be measured on.
        option: what brings it.
        name: of the network.
        seen: which images it learned from, as its bundle says.

    Raises:
        UsageError: it learned from some of them.
    """
    measured = table.filter(pa.array([split in splits for split in table["split"].to_pylist()]))
    if share := share_seen({"seen": seen}, measured):
        raise UsageError(
            f"`{option}` {name} has learned from {share:.0%} of these images, so no answer "
            f"would be out of fold: leave `{option}` out, or give a network that never saw them"
        )


def _at_once(one: Callable[[Part], Trained], parts: Sequence[Part], count: int) -> list[Trained]:
    """Do all parts, so many at a time; after a failure no other is begun, and those at work end.

    Raises:
        FacemillError: of the first that failed.
    """
    waiting = queue.SimpleQueue[Part]()
    for part in parts:
        waiting.put(part)
    done: dict[int, Trained] = {}
    failed: list[BaseException] = []

    def work() -> None:
        with contextlib.suppress(queue.Empty):
            while not failed:
                part = waiting.get_nowait()
                try:
                    done[part.index] = one(part)
                except BaseException as error:  # raised again below, in the driver's own thread
                    failed.append(error)
                    note(f"{part.job.part}: {error}; those at work go on, no other is begun")

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(count, len(parts)))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(0.5)  # Ctrl-C comes through between two of them
    except KeyboardInterrupt:
        # Nothing ends a `fit`, and a thread that asks Ray once it is shut down starts another Ray.
        note("interrupted: the same command continues where it stopped")
        os._exit(130)
    if failed:
        raise failed[0]
    return [done[part.index] for part in parts]


def _answer(part: Part, trained: Trained, together: Together) -> None:
    """Write what the fold's network says of the images that it did not see, if it is not there."""
    uri = storage.join(part.job.output, layout.OUT_OF_FOLD)
    if together.pixels is None or storage.exists(uri):
        return
    with together.alone, phase("out_of_fold") as facts:
        bundle = open_bundle(trained.bundle_uri)
        images = LabelledImages(part.table, bundle.input, by_split(part.table, together.pixels))
        predictors = {"float32": Predictor(bundle)}
        with tempfile.TemporaryDirectory(prefix="facemill-int8-") as made_in:
            if quantized := with_int8(bundle, images, Path(made_in)):
                predictors["int8"] = Predictor(quantized, INT8)
            answered = walk(images, "test", predictors)
        if not answered.rows.num_rows:
            raise UsageError(f"{part.job.part}: none of its images can be decoded")
        columns = answered.statistics | answered.answers["float32"]
        rows = out_of_fold.of_one_fold(
            columns,
            answered.rows,
            part.index,
            bundle.id,
            bundle.heads,
            answered.answers.get("int8"),
        )
        tables.write_table(uri, rows)
        facts["part"], facts["images"] = part.job.part, rows.num_rows


def _measured(job: TrainingJob, parts: Sequence[Part], trained: Sequence[Trained]) -> Measured:
    """Put the folds' rows together, measure them and write what stands above the folds."""
    uri = storage.join(job.output, layout.OUT_OF_FOLD)
    heads = job.recipe.kept_heads
    with phase("measure_folds") as facts:
        if not storage.exists(uri):
            places = [storage.join(part.job.output, layout.OUT_OF_FOLD) for part in parts]
            tables.write_table(uri, out_of_fold.joined([*map(tables.read_table, places)], heads))
        rows = tables.read_table(uri)
        facts["images"] = rows.num_rows
        tables.write_table(storage.join(job.output, layout.SUSPECTS), suspects(rows))
        return measure_folds(job, rows, trained)
