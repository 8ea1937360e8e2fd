"""The plan of a scoring job: what its output holds, what is left to do, how it is computed.

Reads the output once and writes nothing. A driver makes its plan while it holds the output's lease,
then claims the output by job.json; a dry run makes one without either.
"""

import dataclasses
import uuid
from collections.abc import Mapping
from typing import Any

from model.backends.selection import Compute, choose, lacks, parsed
from model.calibration import Reading
from model.errors import UsageError
from model.faces.crops import FaceSearch
from model.tta import Views
from pipelines import configuration, storage
from pipelines.cluster.abilities import of_workers
from pipelines.images.batches import CropShape
from pipelines.predictions import frozen_inputs, layout, schemas
from pipelines.predictions.frozen_inputs import FrozenInputs
from pipelines.scoring import increment, retrying
from pipelines.scoring.job import Job
from pipelines.scoring.options import Faces, Limits
from pipelines.scoring.placement import on_gpus
from pipelines.storage import tables
from pipelines.storage.claims import Claim
from pipelines.telemetry.phases import run_id

# What a record has at a key that it lacks: each kind of source writes keys of its own, and a
# record without `views` took one view, one without `faces` scored face crops.
_BEFORE = {
    "views": 1, "images": None, "manifest": None, "table": None, "fingerprint": None,
    "faces": "crop", "detection": None, "engine": "tensorflow", "passthrough": None,
    "age_distribution": False, "exclude": None,
}  # fmt: skip
_MAX_VERSIONS = 1000
_SHAPE = "crop_shape"
_URIS = ("images", "manifest", "bundle", "output")


@dataclasses.dataclass(frozen=True)
class ShardSettings:
    """What a worker needs to know of a run to score a shard."""

    output: str
    compute: Compute
    tta: Views
    reading: Reading
    search: FaceSearch | None
    shape: CropShape | None
    by_name: bool
    columns: tuple[str, ...]
    run_id: str
    limits: Limits


@dataclasses.dataclass(frozen=True)
class Plan:
    """A job, and how it goes on in its output.

    Attributes:
        job: what to do.
        compute: backend and precision; what was left open is as an earlier run took it.
        faces: auto until a sample of the inputs has been looked at.
        run_id: shared by every continuation of the run; '' before the claim.
        columns: of the predictions.
        frozen: the list of inputs; None before it was made.
        committed: shards that are scored.
        finished: whether run.json says that nothing is left.
        growing: whether a driver died while it changed the list of inputs.
        retrying: whether a driver died while it put back shards with failed inputs.
        shape: of the face crops, where `faces` auto has chosen them.
    """

    job: Job
    compute: Compute
    faces: Faces
    run_id: str
    columns: tuple[str, ...]
    frozen: FrozenInputs | None
    committed: frozenset[int]
    finished: bool
    growing: bool
    retrying: bool
    shape: CropShape | None = None

    @property
    def pending(self) -> list[int]:
        """Shards that are left to score."""
        shards = range(len(self.frozen.rows)) if self.frozen else ()
        return [index for index in shards if index not in self.committed]

    @property
    def skipped(self) -> int:
        """Inputs of shards that are scored already."""
        rows = self.frozen.rows if self.frozen else ()
        return sum(rows[index] for index in self.committed if index < len(rows))

    @property
    def search(self) -> FaceSearch | None:
        """Which faces of each image go to the network; None: the image is one face crop."""
        return self.job.search(self.faces)

    @property
    def settings(self) -> ShardSettings:
        """What is sent to every worker."""
        job, options = self.job, self.job.options
        return ShardSettings(
            job.output, self.compute, options.network.tta, job.reading, self.search, self.shape,
            job.source.by_name, self.columns, self.run_id, options.limits,
        )  # fmt: skip

    def identity(self) -> dict[str, Any]:
        """All that can change a row, or which rows there are."""
        return self.job.identity(self.compute, self.faces)

    def lineage(self) -> dict[str, Any]:
        """What job.json and run.json say of the run: its id, and what was scored with what."""
        bundle = self.job.bundle
        more = {"preprocessing": bundle.input.hash, "bundle": bundle.name}
        return {"run_id": self.run_id, **self.identity(), **more}

    def with_shards(self, frozen: FrozenInputs) -> "Plan":
        """The plan after its list of inputs was made or changed."""
        committed = frozenset(frozen_inputs.committed(self.job.output))
        finished = storage.exists(layout.path(self.job.output, layout.RUN))
        return dataclasses.replace(self, frozen=frozen, committed=committed, finished=finished)


def plan(job: Job) -> Plan:
    """Look at the output.

    Raises:
        UsageError: it holds another run (the message names what differs), or predictions of which
            nothing says whose they are; a value is not legal here.
        StorageError: job.json is damaged, or a newer facemill wrote it.
    """
    before = _record(job.output)
    faces: Any = job.options.faces
    if faces == "auto" and before:
        faces = before.get("faces", _BEFORE["faces"])
    compute = _compute(job, before)
    committed = frozenset(frozen_inputs.committed(job.output))
    if _claim(job, job.identity(compute, faces)).require_own() is None and committed:
        raise UsageError(
            f"`output` {job.output} holds predictions but no {layout.JOB}: choose another"
        )
    return Plan(
        job,
        compute,
        faces,
        before.get("run_id", ""),
        tuple(before.get("columns", schemas.COLUMNS_BEFORE_FACES)) if before else job.columns,
        frozen_inputs.load_frozen(job.output),
        committed,
        storage.exists(layout.path(job.output, layout.RUN)),
        increment.is_unfinished(job.output),
        retrying.is_unfinished(job.output),
        CropShape(**before[_SHAPE]) if before.get(_SHAPE) else None,
    )


def claim(planned: Plan) -> Plan:
    """Write job.json if the output is free; returns the plan with the run's id.

    Raises:
        UsageError: it holds another run.
    """
    job = planned.job
    record = _claim(job, planned.identity()).take(
        lambda: {
            "format": 1,
            **planned.lineage(),
            "run_id": run_id() or uuid.uuid4().hex[:12],
            "columns": planned.columns,
            "options": configuration.to_json(
                configuration.with_places(job.options, storage.normalize, *_URIS)
            ),
        }
    )
    return dataclasses.replace(planned, run_id=record.get("run_id", ""))


def settle_faces(planned: Plan, because: str) -> None:
    """Write what `faces` auto became into job.json, whose run is held by the caller's lease."""
    output = planned.job.output
    record = {**_record(output), **tables.plain(planned.identity()), "faces_because": because}
    if planned.shape is not None:
        record[_SHAPE] = dataclasses.asdict(planned.shape)
    tables.write_json(layout.path(output, layout.JOB), record)


def new_version(job: Job) -> Job:
    """The job with the first of `output`, `output/v2`, … that is free or its own.

    Raises:
        UsageError: a thousand versions are there.
    """
    for number in range(1, _MAX_VERSIONS):
        folder = job.output if number == 1 else layout.path(job.output, f"v{number}")
        options = dataclasses.replace(job.options, output=folder)
        here = dataclasses.replace(job, options=options, output=folder)
        before = _record(folder)
        faces: Any = before.get("faces") if job.options.faces == "auto" and before else None
        identity = here.identity(_compute(here, before), faces or job.options.faces)
        if not _claim(here, identity).differences():
            return here
    raise UsageError(f"`output` {job.output} holds {_MAX_VERSIONS} versions: choose another")


def require_able(planned: Plan) -> None:
    """Refuse a run whose backend or precision the workers' machines do not have.

    Raises:
        UsageError: see `lacks`.
    """
    lack = lacks(planned.compute, planned.job.bundle, of_workers(), emulated=True)
    if lack is not None:
        raise UsageError(
            f"this run computes {planned.compute.words}, and {lack}: give it machines that can, "
            "or choose another `output`"
        )


def _compute(job: Job, before: Mapping[str, Any]) -> Compute:
    """Backend and precision; what the options leave open is as in an earlier run.

    Raises:
        UsageError: that cannot be had.
    """
    asked, device = job.options.network.compute, job.options.resources.device
    engine, precision = parsed(asked)
    if device == "gpu" and engine == "openvino":
        raise UsageError(
            f"`compute` {asked} runs on CPUs: give `device` cpu, or `compute` tensorflow"
        )
    if before:
        with tables.record_read(layout.path(job.output, layout.JOB)):
            earlier = Compute.of(before)
        engine = earlier.engine if engine == "auto" else engine
        precision = earlier.precision if precision == "auto" else precision
        if earlier == Compute(engine, precision):
            return earlier  # whether it can be had is asked of whoever scores
    if engine == "auto" and on_gpus(job.options.resources):
        engine = "tensorflow"
    return choose(engine, precision, job.bundle, of_workers())


def _claim(job: Job, identity: Mapping[str, Any]) -> Claim:
    advice = "repeat the arguments of that run to resume it; `on_existing` new writes beside it"
    return Claim(job.output, layout.JOB, "run", identity, _BEFORE, advice=advice)


def _record(output: str) -> dict[str, Any]:
    """job.json, or nothing."""
    return Claim(output, layout.JOB, "run", {}).record() or {}
