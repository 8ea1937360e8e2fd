"""The jobs in this very process: their own code but for Ray, the network and the drawing of charts.

`prepare_process` puts rules in the place of these; every write is the product's own.
"""

import contextlib
import dataclasses
import os
import sys
import types
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import jobs.calibrate
import jobs.export
import jobs.ingest
import jobs.report
import jobs.score
import jobs.verify
from model.bundle import Bundle, with_details
from model.faces.crops import crops_of
from model.recipes import Recipe
from pipelines.bundles import calibrating, exporting
from pipelines.charts.chart import Chart
from pipelines.cluster import session
from pipelines.images import decoding
from pipelines.images.batches import decode_entries_with
from pipelines.manifests import ingest
from pipelines.predictions import dataset, verification  # noqa: F401
from pipelines.predictions.run_record import ShardRecord
from pipelines.reporting import run as reporting  # noqa: F401
from pipelines.scoring import plan, preview, run, summaries, worker  # noqa: F401
from pipelines.scoring.placement import Placement
from pipelines.storage import lease, listing, objects
from pipelines.training import checkpoints
from pipelines.training import run as training
from pipelines.training.checkpoints import TrainState

SEPARATE = "FACEMILL_TEST_SEPARATE"  # in the environment of a case: decode apart from the network


def prepare_process() -> None:
    """Put rules in the place of Ray, the network and charts, for the life of this process."""
    os.environ["FACEMILL_RUN_ID"] = "crash-points"
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    session.start_ray = nothing
    Chart.svg = property(lambda chart: f"<svg>{chart.description}</svg>")  # type: ignore
    for job in (jobs.ingest, jobs.calibrate):
        job.start_ray = nothing  # type: ignore[attr-defined]
    lease._SETTLE_S = objects.SETTLE_S = 0.0  # one driver at a time here
    run._run = _scored_here  # type: ignore[assignment]
    run.require_shared = nothing  # type: ignore[assignment]
    worker._FIRST_WAIT_S = 0.005
    patient = worker.with_retries
    worker.with_retries = lambda act, timeout_s: patient(act, min(timeout_s, 0.02))
    worker.Predictor = RuledPredictor  # type: ignore[assignment, misc]
    worker.IsolatedDecoder = DirectDecoder  # type: ignore[assignment, misc]
    worker.DecodeStage = lambda _, __, *wanted: decode_entries_with(crops_of, *wanted)  # type: ignore
    decoding.is_retried_task = lambda: False
    listing.list_roots = lambda uri: [(uri, True)]
    ingest.in_tasks = lambda blocks, act, how: (act(block, **how) for block in blocks)
    calibrating.complete = _calibrated  # type: ignore[assignment]
    exporting._write_onnx = _write_onnx  # type: ignore[assignment]
    exporting.parity = lambda *_: {"age": 0.0}
    for module in (exporting, training):
        module.import_tensorflow = nothing  # type: ignore[attr-defined]
    exporting.load_network = nothing  # type: ignore[assignment]
    _prepare_training()


def nothing(*_: Any, **__: Any) -> None:
    """In the place of what is not tested here."""


class RuledPredictor:
    """Answers by the brightness of a picture."""

    def __init__(
        self,
        bundle: Bundle,
        compute: Any,
        batch_size: int = 64,
        threads: Any = None,
        views: Any = 1,
    ) -> None:
        self.bundle, self.batch_size = bundle, batch_size

    def answers(self, pixels: Any, reading: Any) -> dict[str, Any]:
        ages = pixels.reshape(len(pixels), -1).mean(axis=1).astype(np.float32) % 90
        return {"age_years": ages, "p_female": ages / 100}


class DirectDecoder:
    """Decodes in this process; that decoders die is tested elsewhere."""

    def __init__(self, *_: Any) -> None:
        self.close = nothing

    def __call__(self, data: bytes, spec: Any, wanted: Any = None) -> Any:
        return crops_of(data, spec, wanted)


def _scored_here(
    planned: Any, frozen: Any, pending: Sequence[int], held: Any, avoided: Any
) -> dict[int, ShardRecord]:
    """`pipelines.scoring.run._run` with one worker, which is this process."""
    separate = os.environ.get(SEPARATE) == "1"
    scorer = worker.ShardScorer(planned.settings, Placement(separate, 1, 1, ""))
    records = dict[int, ShardRecord]()
    for index in reversed(pending):
        columns = scorer({"shard": np.array([index])})
        record = ShardRecord(**{name: values.tolist()[0] for name, values in columns.items()})
        records[record.shard] = record
        held.check()
    return records


def _calibrated(bundle: Bundle, images: Any, folder: Path, int8: bool = True) -> Bundle:
    fitted = {"gender": {"temperature": 1.25, "bias": 0.5, "images": 8}, "age": None}
    return with_details(bundle, folder, {"calibration": fitted, "metrics": {"val": {}}})


def _write_onnx(network: Any, bundle: Bundle, path: Path, opset: int) -> None:
    path.write_bytes(bytes(range(256)) * 16)


HISTORY = [{"epoch": 1.0, "loss": 2.0, "val_loss": 1.5, "seconds": 1.0}]


def _prepare_training() -> None:
    """The driver of a training, whose workers have ended with a checkpoint."""
    training.decode_splits = lambda *_: types.SimpleNamespace(  # type: ignore[assignment, return-value]
        train=None, val=None, images=None, rejects=()
    )
    training.drop_decoded = nothing  # type: ignore[assignment]
    training.open_trackers = _no_trackers  # type: ignore[assignment]
    training.fit = lambda *_: Checkpoint()  # type: ignore[assignment]
    training.leakage.sketch = lambda _: {}  # type: ignore[assignment]
    networks: Any = types.ModuleType("model.networks")
    networks.build_network = lambda *_: types.SimpleNamespace(set_weights=nothing)
    networks.folded = lambda network, *_: network
    sys.modules["model.networks"] = networks
    training.curves_png = training.network_png = lambda *_: b"\x89PNG" * 50  # type: ignore
    training.layers_of = nothing  # type: ignore[assignment]
    training.write_bundle = _written  # type: ignore[assignment]
    training.complete = _calibrated  # type: ignore[assignment]


@contextlib.contextmanager
def _no_trackers(*_: Any) -> Generator[Any]:
    yield types.SimpleNamespace(finish=nothing, epoch=nothing)


class Checkpoint:
    """What the last epoch left."""

    @contextlib.contextmanager
    def as_directory(self) -> Generator[str]:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            state = TrainState(epoch=1, history=HISTORY, best_epoch=1, best_loss=1.5)
            checkpoints.save(Path(folder), state, {"best": [np.arange(500, dtype=np.float32)]})
            yield folder


def _written(folder: Path, network: Any, *, details: Mapping[str, Any], **_: Any) -> Bundle:
    from tests.robustness.crash_points.cases import golden_bundle

    kept = {key: value for key, value in details.items() if key != "training"}  # it holds times
    return with_details(golden_bundle(), folder, kept)


def tiny_recipe() -> Recipe:
    """A recipe that nothing is trained by."""
    from model.presets import preset

    return dataclasses.replace(preset("demo"), global_batch_size=4)
