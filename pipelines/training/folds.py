"""Cross-fitting: a training a fold, each without that fold's images, and what they say together.

A fold is a training like any other: its output is OUTPUT/fold-k, its test split is the fold, its
val split a tenth of the rest (pipelines/manifests/splits.py). All labelled images are decoded once
and shared. As many trainings run at once as the cluster has room for, each in a thread of this
driver, below one lease.
"""

import dataclasses
import os
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

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
from pipelines.manifests.leakage import share_seen, told
from pipelines.manifests.splits import Fold, identities_of
from pipelines.predictions import out_of_fold
from pipelines.predictions.label_issues import label_issues
from pipelines.predictions.raw_predictions import INT8, REFERENCE
from pipelines.storage import tables
from pipelines.storage.lease import Lease
from pipelines.telemetry.log import note
from pipelines.telemetry.phases import phase
from pipelines.training import layout, plan
from pipelines.training.final import train_final
from pipelines.training.fitting import room_for
from pipelines.training.fold_figures import Measured, measure_folds, require_comparable
from pipelines.training.job import TrainingJob
from pipelines.training.plan import Plan, Trained
from pipelines.training.preparing import by_split, cache_of, drop_decoded
from pipelines.training.run import SharedFoldState, run


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


@dataclasses.dataclass(frozen=True)
class FoldsPlan:
    """A run with folds, and how it goes on in its output.

    Attributes:
        whole: the run; its table has all labelled images.
        folds: the trainings, each with its own splits of these.
    """

    whole: Plan
    folds: tuple[Plan, ...]

    @property
    def answered(self) -> tuple[str, ...]:
        """Where each fold's network leaves its predictions for the images that it did not see."""
        return tuple(storage.join(one.job.output, layout.OUT_OF_FOLD) for one in self.folds)

    @property
    def needs_pixels(self) -> bool:
        """Whether a training is left that would look at the images."""
        left = [*self.answered]
        job = self.whole.job
        if job.options.cross_validation.final:
            left.append(storage.join(job.output, layout.FINAL, layout.BUNDLE, RECORD_FILE))
        return not all(map(storage.exists, left))


def plan_folds(job: TrainingJob) -> FoldsPlan:
    """Look at the manifest and the output.

    Raises:
        UsageError: the output holds another run; a fold has too few images; a teacher or the
            weights to begin with have seen the images; there is nothing to compare with.
    """
    job, table = plan.read_inputs(job)
    table = manifest.labelled(table, None)
    measured = table.filter(pa.array(divided_rows(job, table)))
    for teacher in job.teachers:
        require_unseen_by(measured, "teachers", teacher.name, teacher.record.get("seen"))
    require_comparable(job, measured)
    return FoldsPlan(plan.plan_of(job, table), tuple(folds_of(job, table)))


def train_folds(
    job: TrainingJob, cpus: int | None = None, at_once: int | None = None
) -> CrossFitted:
    """Train every fold to its end, resuming where each stood, and measure them all together.

    Args:
        job: what to train; its options have `folds`.
        cpus: cores of each worker; None: wait until the cluster has room, and share out that.
        at_once: how many trainings to run at a time; None: as many as there is room for.

    Raises:
        UsageError: see `plan_folds`.
        ResourcesError: there is no room for one training, and none is coming.
        TrainingError: a fold's training cannot go on; the others are at their last checkpoints.
    """
    with as_resumable_failure("trained"), Lease(job.output) as lease:
        planned = plan_folds(job)
        if not (cpus and at_once):
            share, room = room_for(job.options.workers, len(planned.folds))
            cpus, at_once = cpus or share, at_once or room
        plan.claim(planned.whole)
        pixels = _pixels(planned) if planned.needs_pixels else None
        shared = SharedFoldState(pixels, threading.Lock())

        def one(index: int) -> Trained:
            trained = run(planned.folds[index], lease, cpus, shared)
            _answer(planned, index, trained, shared)
            return trained

        trained = _at_once(one, planned, at_once)
        lease.confirm()
        measured = _measured(planned, trained)
        final = None
        if job.options.cross_validation.final:
            final = train_final(lease, planned.whole, cpus, pixels, measured)
        drop_decoded(job)
    return CrossFitted(tuple(trained), measured.record, pixels.rejects if pixels else (), final)


def folds_of(job: TrainingJob, table: pa.Table) -> list[Plan]:
    """The folds' trainings, each with its own splits of the labelled images.

    Raises:
        UsageError: a fold, or what its network would learn from or be chosen by, has too little;
            the weights that it begins with have seen what it is to be measured on.
    """
    count = job.options.cross_validation.folds or 0
    names, divided = identities_of(table), divided_rows(job, table)
    folds: list[Plan] = []
    for index in range(count):
        fold = Fold(index, count)
        seen_as = [
            fold.split_of(name) if is_divided else "train"
            for name, is_divided in zip(names, divided, strict=True)
        ]
        title, folder = f"fold {index} of {count}", layout.fold(index)
        output, start = storage.join(job.output, folder), job.start and job.start.of(folder)
        one = dataclasses.replace(job, output=output, part=title, start=start)
        seen = plan.with_splits(table, seen_as)
        if "test" not in seen_as:
            raise UsageError(
                f"{title} holds no labelled image: choose fewer `folds`, or label more"
            )
        try:
            plan.require_labels(one, seen)
        except UsageError as error:
            raise UsageError(f"{title}: {error}") from None
        if start:
            own = seen.filter(pc.field("split") == "test")
            require_unseen_by(own, "start_from", start.name, start.seen)
        folds.append(plan.plan_of(one, seen))
    return folds


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


def _pixels(planned: FoldsPlan) -> CachedPixels:
    """All labelled images, decoded."""
    job, table = planned.whole.job, planned.whole.table
    with phase("decode") as facts:
        pixels = decoded(table, job.recipe.input, cache_of(job), "decode")
        facts["images"], facts["not_decodable"] = table.num_rows, len(pixels.rejects)
    return pixels


def _at_once(one: Callable[[int], Trained], planned: FoldsPlan, count: int) -> list[Trained]:
    """Do all folds, so many at a time; after a failure no other is begun, and those at work end.

    Raises:
        FacemillError: of the first that failed.
    """
    failed: list[BaseException] = []

    def unless_failed(index: int) -> Trained | None:
        if failed:
            return None
        try:
            return one(index)
        except BaseException as error:  # raised again below, in the driver's own thread
            failed.append(error)
            part = planned.folds[index].job.part
            note(f"{part}: {error}; those at work go on, no other is begun")
            return None

    with ThreadPoolExecutor(count) as pool:
        try:
            done = [*pool.map(unless_failed, range(len(planned.folds)))]
        except KeyboardInterrupt:
            # Nothing ends a `fit`; a thread that asks Ray once it is shut down starts another Ray.
            note("interrupted: run the same command again to continue")
            os._exit(130)
    if failed:
        raise failed[0]
    return [trained for trained in done if trained]


def _answer(planned: FoldsPlan, index: int, trained: Trained, shared: SharedFoldState) -> None:
    """Write what the fold's network says of the images that it did not see, if it is not there."""
    uri, fold = planned.answered[index], planned.folds[index]
    if shared.pixels is None or storage.exists(uri):
        return
    with shared.alone, phase("out_of_fold") as facts:
        bundle = open_bundle(trained.bundle_uri)
        images = LabelledImages(fold.table, bundle.input, by_split(fold.table, shared.pixels))
        predictors = {REFERENCE: Predictor(bundle)}
        with tempfile.TemporaryDirectory(prefix="facemill-int8-") as made_in:
            if quantized := int8_of_fold(bundle, images, Path(made_in)):
                predictors[INT8] = Predictor(quantized, INT8_COMPUTE)
            raw = predict(images, "test", predictors)
        if not len(raw):
            raise UsageError(f"{fold.job.part}: none of its images can be decoded")
        tables.write_table(uri, out_of_fold.of_one_fold(raw, index, bundle.id))
        facts["part"], facts["images"] = fold.job.part, len(raw)


def _measured(planned: FoldsPlan, trained: Sequence[Trained]) -> Measured:
    """Put the folds' rows together, measure them and write what stands above the folds."""
    job = planned.whole.job
    uri = storage.join(job.output, layout.OUT_OF_FOLD)
    with phase("measure_folds") as facts:
        if not storage.exists(uri):
            parts = [*map(tables.read_table, planned.answered)]
            tables.write_table(uri, out_of_fold.joined(parts, job.recipe.kept_heads))
        rows = out_of_fold.conformed(tables.read_table(uri))
        facts["images"] = rows.num_rows
        once, _ = out_of_fold.apart(rows)
        tables.write_table(storage.join(job.output, layout.LABEL_ISSUES), label_issues(once))
        return measure_folds(job, rows, trained)
