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

from model.backends.selection import INT8 as INT8_COMPUTE
from model.bundle import RECORD_FILE
from model.errors import UsageError
from model.predictor import Predictor
from pipelines import storage
from pipelines.bundles.calibrating import int8_of_fold
from pipelines.bundles.labelled_images import LabelledImages, predict
from pipelines.bundles.opening import open_bundle
from pipelines.cluster.errors import as_resumable_failure
from pipelines.images.pixel_cache import CachedPixels, decoded
from pipelines.manifests import manifest
from pipelines.predictions import out_of_fold
from pipelines.predictions.label_issues import label_issues
from pipelines.predictions.raw_predictions import INT8, REFERENCE
from pipelines.storage import tables
from pipelines.storage.lease import Lease
from pipelines.telemetry.log import note
from pipelines.telemetry.phases import phase
from pipelines.training import layout
from pipelines.training.claim import Trained, TrainingJob, claim
from pipelines.training.comparing import require_comparable
from pipelines.training.final import train_final
from pipelines.training.fold_figures import Measured, measure_folds
from pipelines.training.parts import Part, divided_rows, parts_of, require_unseen_by
from pipelines.training.preparing import by_split, cache_of, drop_decoded
from pipelines.training.run import SharedFoldState, train_under


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
        measured = table.filter(pa.array(divided_rows(job, table)))
        for teacher in job.teachers:
            require_unseen_by(measured, "teachers", teacher.name, teacher.record.get("seen"))
        require_comparable(job, measured)
        parts = parts_of(job, table)
        claim(job, manifest.fingerprint(table))
        pixels = _pixels(job, table, parts)
        together = SharedFoldState(pixels, threading.Lock())

        def one(part: Part) -> Trained:
            trained = train_under(lease, part.job, part.table, cpus_per_worker, together)
            _answer(part, trained, together)
            return trained

        trained = _at_once(one, parts, at_once)
        lease.confirm()
        known = _measured(job, parts, trained)
        final = None
        if job.options.cross_validation.final:
            final = train_final(lease, job, table, cpus_per_worker, pixels, known)
        drop_decoded(job)
    return CrossFitted(tuple(trained), known.record, pixels.rejects if pixels else (), final)


def _pixels(job: TrainingJob, table: pa.Table, parts: Sequence[Part]) -> CachedPixels | None:
    """All labelled images, decoded; None where no training is left that would look at them."""
    left = [storage.join(part.job.output, layout.OUT_OF_FOLD) for part in parts]
    if job.options.cross_validation.final:
        left.append(storage.join(job.output, layout.FINAL, layout.BUNDLE, RECORD_FILE))
    if all(map(storage.exists, left)):
        return None
    with phase("decode") as facts:
        pixels = decoded(table, job.recipe.input, cache_of(job), "decode")
        facts["images"], facts["not_decodable"] = table.num_rows, len(pixels.rejects)
    return pixels


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
        note("interrupted: run the same command again to continue")
        os._exit(130)
    if failed:
        raise failed[0]
    return [done[part.index] for part in parts]


def _answer(part: Part, trained: Trained, together: SharedFoldState) -> None:
    """Write what the fold's network says of the images that it did not see, if it is not there."""
    uri = storage.join(part.job.output, layout.OUT_OF_FOLD)
    if together.pixels is None or storage.exists(uri):
        return
    with together.alone, phase("out_of_fold") as facts:
        bundle = open_bundle(trained.bundle_uri)
        images = LabelledImages(part.table, bundle.input, by_split(part.table, together.pixels))
        predictors = {REFERENCE: Predictor(bundle)}
        with tempfile.TemporaryDirectory(prefix="facemill-int8-") as made_in:
            if quantized := int8_of_fold(bundle, images, Path(made_in)):
                predictors[INT8] = Predictor(quantized, INT8_COMPUTE)
            raw = predict(images, "test", predictors)
        if not len(raw):
            raise UsageError(f"{part.job.part}: none of its images can be decoded")
        tables.write_table(uri, out_of_fold.of_one_fold(raw, part.index, bundle.id))
        facts["part"], facts["images"] = part.job.part, len(raw)


def _measured(job: TrainingJob, parts: Sequence[Part], trained: Sequence[Trained]) -> Measured:
    """Put the folds' rows together, measure them and write what stands above the folds."""
    uri = storage.join(job.output, layout.OUT_OF_FOLD)
    heads = job.recipe.kept_heads
    with phase("measure_folds") as facts:
        if not storage.exists(uri):
            places = [storage.join(part.job.output, layout.OUT_OF_FOLD) for part in parts]
            tables.write_table(uri, out_of_fold.joined([*map(tables.read_table, places)], heads))
        rows = out_of_fold.conformed(tables.read_table(uri))
        facts["images"] = rows.num_rows
        once, _ = out_of_fold.apart(rows)
        tables.write_table(storage.join(job.output, layout.LABEL_ISSUES), label_issues(once))
        return measure_folds(job, rows, trained)
