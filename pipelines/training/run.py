"""Training: plan -> decoded arrays -> Ray Train -> bundle, history and curves."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pyarrow as pa

from model import baselines
from model.bundle import Bundle, write_bundle
from model.layer_graph import layers_of
from model.runtime import import_tensorflow, machine
from pipelines import storage
from pipelines.bundles.calibrating import FromFolds, complete, complete_from_folds
from pipelines.bundles.labelled_images import LabelledImages
from pipelines.bundles.opening import copy_bundle
from pipelines.charts.curves import curves_png
from pipelines.charts.network import network_png
from pipelines.cluster.errors import as_resumable_failure
from pipelines.images.pixel_cache import CachedPixels
from pipelines.manifests import leakage, manifest
from pipelines.manifests.labels.utkface import UTKFACE
from pipelines.storage import tables
from pipelines.storage.lease import Lease
from pipelines.telemetry.phases import phase, run_id
from pipelines.training import checkpoints, layout
from pipelines.training.checkpoints import TrainState, packed
from pipelines.training.fitting import fit, room_for
from pipelines.training.job import TrainingJob
from pipelines.training.plan import Plan, Trained, claim, plan
from pipelines.training.preparing import decode_splits, drop_decoded
from pipelines.training.trackers import open_trackers

_VERSIONS = ("keras", "tensorflow", "ray", "pillow", "numpy")


@dataclasses.dataclass(frozen=True)
class SharedFoldState:
    """What the trainings of a run with folds share.

    Attributes:
        pixels: of all rows of their tables, decoded once.
        alone: held by one of them at a time, but while its workers train: TensorFlow and
            Matplotlib in the driver are for one thread.
        from_folds: what the folds say where all images were seen: see `finish`.
        taught: what the folds say of each image of train: see `decode_splits`.
    """

    pixels: CachedPixels | None = None
    alone: AbstractContextManager[Any] = dataclasses.field(default_factory=contextlib.nullcontext)
    from_folds: FromFolds | None = None
    taught: Mapping[str, Any] | None = None


def train(job: TrainingJob, cpus: int | None = None) -> Trained:
    """Train to the last epoch, resuming where an earlier call stopped, and write the bundle.

    Args:
        job: what to train.
        cpus: cores of each worker; None: wait until the cluster has room, and share out that.

    Raises:
        UsageError: the output holds another run, the arguments cannot work, or another driver is
            at work in the output.
        ResourcesError: there is no room, and none is coming.
        TrainingError: the loss became NaN, or the workers failed too often.
    """
    with as_resumable_failure("trained"), Lease(job.output) as lease:
        return run(plan(job), lease, cpus)


def run(
    planned: Plan, lease: Lease, cpus: int | None = None, shared: SharedFoldState | None = None
) -> Trained:
    """Carry out a plan, as the driver that holds the output.

    Args:
        planned: what to train.
        lease: of the output, or of one above it.
        cpus: cores of each worker; see `train`.
        shared: with other trainings at the same time.

    Raises:
        FacemillError: see `train`.
    """
    job, shared = planned.job, shared or SharedFoldState()
    if planned.done is not None:
        claim(planned)
        drop_decoded(job)  # a kill may have left it
        return planned.done
    cpus = cpus or room_for(job.options.workers)[0]  # first: without room nothing is claimed
    with shared.alone:
        claim(planned)
        with phase("decode") as facts:
            prepared = decode_splits(job, planned.table, shared.pixels, shared.taught)
            facts["images"] = planned.table.num_rows
            facts["not_decodable"] = len(prepared.rejects)
    with open_trackers(job, job.identity(planned.fingerprint)) as trackers:
        with phase("train") as facts:
            checkpoint = fit(job, prepared, cpus, trackers, lease)
            lease.confirm()
            with checkpoint.as_directory() as folder:
                state = checkpoints.load_state(folder)
                best = checkpoints.load_arrays(folder, "best")
            facts["epochs"], facts["best_epoch"] = state.epoch, state.best_epoch
            facts |= {"part": job.part} if job.part else {}
        details = _details(planned, cpus, state)
        with shared.alone, phase("finish") as facts:
            written = finish(job, best, details, prepared.images, shared.from_folds)
            facts["bundle_id"] = written.id
        trackers.finish(written.record["metrics"])
    drop_decoded(job)
    return Trained(
        storage.join(job.output, layout.BUNDLE), written.id, tuple(state.history),
        prepared.rejects, cpus, state.best_epoch, note=baselines.of_record(written.record, "val"),
    )  # fmt: skip


def finish(
    job: TrainingJob,
    weights: Sequence[npt.NDArray[Any]],
    details: Mapping[str, Any],
    images: LabelledImages,
    from_folds: FromFolds | None = None,
) -> Bundle:
    """Measure the network as scoring will run it, and write history, curves and the bundle.

    Args:
        job: what was trained.
        weights: of the best epoch, in the order of `network.set_weights`.
        details: of the run, for bundle.json.
        images: of the manifest.
        from_folds: of a network that saw all of these images, which hence cannot be measured on
            them; its folds are.

    Returns:
        The bundle; its files lie below `output`/bundle, the record written last.
    """
    recipe, output = job.recipe, job.output
    import_tensorflow()
    from model.networks import build_network, folded

    trained = build_network(recipe.network, recipe.input.shape, recipe.heads)
    trained.set_weights(list(weights))
    network = folded(trained, recipe.network, recipe.kept_heads)
    history = list(details["history"])
    storage.write_bytes(storage.join(output, layout.WEIGHTS), packed(weights))
    tables.write_table(storage.join(output, layout.HISTORY), pa.Table.from_pylist(history))
    picture = curves_png(history, recipe.name)
    storage.write_bytes(storage.join(output, layout.CURVES), picture)

    with tempfile.TemporaryDirectory() as folder:
        # Written, read back and measured: the figures are those of the file that scoring loads.
        plain = write_bundle(
            Path(folder), network, name=recipe.name, input_spec=recipe.input,
            heads=recipe.kept_heads,
            details=details, storage_dtype=job.options.run.weights_dtype,
        )  # fmt: skip
        graph = network_png(layers_of(plain), f"{recipe.name}: layers")
        storage.write_bytes(storage.join(output, layout.NETWORK), graph)
        place = Path(folder) / "complete"
        int8 = job.options.run.quantization == "int8"
        if from_folds:
            bundle = complete_from_folds(plain, from_folds, images, place, int8)
        else:
            bundle = complete(plain, images, place, int8)
        copy_bundle(bundle, storage.join(output, layout.BUNDLE))
    return bundle


def _details(planned: Plan, cpus: int, state: TrainState) -> dict[str, Any]:
    """What bundle.json says of the run; its seconds are those of all steps, also before a kill."""
    job, options, start = planned.job, planned.job.options, planned.job.start
    learned = manifest.labelled(planned.table, "train", options.learning.conflicting_duplicates)
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
        "manifest_fingerprint": planned.fingerprint,
        "versions": {name: version(name) for name in _VERSIONS},
    }
