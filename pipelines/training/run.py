"""Training: manifest -> decoded arrays -> Ray Train -> bundle, history and curves."""

import contextlib
import dataclasses
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.metadata import version
from typing import Any

import pyarrow as pa

from model import baselines
from model.runtime import machine
from pipelines import storage
from pipelines.bundles.calibrating import FromFolds
from pipelines.cluster.errors import as_resumable_failure
from pipelines.images.pixel_cache import CachedPixels
from pipelines.manifests import leakage, manifest
from pipelines.manifests.labels.utkface import UTKFACE
from pipelines.storage.lease import Lease
from pipelines.telemetry.phases import phase, run_id
from pipelines.training import checkpoints, layout
from pipelines.training.checkpoints import TrainState
from pipelines.training.claim import Trained, TrainingJob, claim
from pipelines.training.finishing import finish
from pipelines.training.fitting import fit
from pipelines.training.preparing import drop_decoded, place_teachers, prepare, require_labels
from pipelines.training.progress import open_board
from pipelines.training.trackers import open_trackers
from pipelines.training.worker import WorkerConfig

_VERSIONS = ("keras", "tensorflow", "ray", "pillow", "numpy")


@dataclasses.dataclass(frozen=True)
class SharedFoldState:
    """What the trainings of a run with folds share.

    Attributes:
        pixels: of all rows of their tables, decoded once.
        alone: held by one of them at a time, but while its workers train: TensorFlow and
            Matplotlib in the driver are for one thread.
        from_folds: what the folds say where all images were seen: see `finish`.
        taught: what the folds say of each image of train: see `prepare`.
    """

    pixels: CachedPixels | None = None
    alone: AbstractContextManager[Any] = dataclasses.field(default_factory=contextlib.nullcontext)
    from_folds: FromFolds | None = None
    taught: Mapping[str, Any] | None = None


def train(job: TrainingJob, cpus_per_worker: int = 1) -> Trained:
    """Train to the last epoch, resuming where an earlier call stopped, and write the bundle.

    Args:
        job: what to train.
        cpus_per_worker: cores of each worker, where the options leave that open.

    Raises:
        UsageError: the output holds another run, the arguments cannot work, or another driver is
            at work in the output.
        TrainingError: the loss became NaN, or the workers failed too often.
    """
    with as_resumable_failure("trained"), Lease(job.output) as lease:
        table = manifest.read_manifest(job.manifest, ["uri", "age_years", "gender", "split"])
        require_labels(job, table)
        return train_under(lease, job, table, cpus_per_worker)


def train_under(
    lease: Lease,
    job: TrainingJob,
    table: pa.Table,
    cpus_per_worker: int,
    together: SharedFoldState | None = None,
) -> Trained:
    """`train` below a lease that the caller holds.

    Args:
        lease: of the output, or of one above it.
        job: what to train.
        table: the manifest, or what this training is to see of it.
        cpus_per_worker: cores of each worker, where the options leave that open.
        together: what it shares with others at the same time.

    Raises:
        FacemillError: see `train`.
    """
    together = together or SharedFoldState()
    fingerprint = manifest.fingerprint(table)
    cpus = job.options.workers.cpus_per_worker or cpus_per_worker
    with together.alone:
        done = claim(job, fingerprint)
        if done is not None:
            drop_decoded(job)  # a kill may have left it
            return done
        with phase("decode") as facts:
            prepared = prepare(job, table, together.pixels, together.taught)
            facts["images"], facts["not_decodable"] = table.num_rows, len(prepared.rejects)
        start = job.start.weights if job.start else None
        config = WorkerConfig(
            job.options, job.recipe, prepared.train, prepared.val, cpus, open_board(),
            place_teachers(job), start,
        )  # fmt: skip
    with open_trackers(job, job.identity(fingerprint)) as trackers:
        with phase("train") as facts:
            checkpoint = fit(job, config, trackers, lease)
            lease.confirm()
            with checkpoint.as_directory() as folder:
                state = checkpoints.load_state(folder)
                best = checkpoints.load_arrays(folder, "best")
            facts["epochs"], facts["best_epoch"] = state.epoch, state.best_epoch
            facts |= {"part": job.part} if job.part else {}
        learned = manifest.labelled(table, "train", job.options.learning.conflicting_duplicates)
        details = _details(job, cpus, state, fingerprint, learned)
        with together.alone, phase("finish") as facts:
            written = finish(job, best, details, prepared.images, together.from_folds)
            facts["bundle_id"] = written.id
        trackers.finish(written.record["metrics"])
    drop_decoded(job)
    uri = storage.join(job.output, layout.BUNDLE)
    return Trained(
        uri, written.id, tuple(state.history), prepared.rejects, state.best_epoch,
        note=baselines.of_record(written.record, "val"),
    )  # fmt: skip


def _details(
    job: TrainingJob, cpus: int, state: TrainState, fingerprint: str, learned: pa.Table
) -> dict[str, Any]:
    """What bundle.json says of the run; its seconds are those of all steps, also before a kill."""
    options, start = job.options, job.start
    taken = learned["taken_at"]  # in UTKFace's file names alone
    return {
        "recipe": job.recipe.to_json(),
        "best_epoch": state.best_epoch,
        "history": state.history,
        "training": {
            "run_id": run_id(),
            "options": job.repeatable(),
            "machine": machine(),
            "seconds": round(sum(row["seconds"] for row in state.history), 1),
            "workers": options.workers.workers,
            "cpus_per_worker": cpus,
            "use_gpu": options.workers.use_gpu,
            "precision": options.workers.precision,
            "accumulate": options.workers.accumulate,
            "conflicts": options.learning.conflicting_duplicates,
            "balance": options.learning.balance,
            "seed": options.run.seed,
            "early_stopping": options.run.early_stopping,
            **({"part": job.part} if job.part else {}),
            "teachers": [teacher.id for teacher in job.teachers],
            "start": start and start.sha256[:16],
            "start_training": start and dict(start.training),
            "labels": UTKFACE if 2 * taken.null_count < len(taken) else None,
        },
        "seen": leakage.joined(leakage.sketch(learned), start and start.seen),
        "manifest_fingerprint": fingerprint,
        "versions": {name: version(name) for name in _VERSIONS},
    }
