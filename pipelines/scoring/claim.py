"""What a scoring job is, its options resolved, and its claim to an output: job.json."""

import dataclasses
import uuid
from collections.abc import Mapping
from typing import Any, Literal

from model.bundle import Bundle
from model.calibration import Reading, chosen_bins
from model.engines.choosing import Compute, choose, lacks, parsed
from model.errors import UsageError
from model.faces.crops import FaceSearch, finding_id
from model.heads import require_distribution
from pipelines import configuration, storage
from pipelines.cluster.abilities import of_workers
from pipelines.manifests.sources import Source
from pipelines.predictions import layout, schemas
from pipelines.scoring.options import Faces, ScoreOptions
from pipelines.scoring.placement import on_gpus
from pipelines.storage import tables
from pipelines.storage.claims import Claim
from pipelines.telemetry.phases import run_id

# What a record has at a key that it lacks: each kind of source writes keys of its own, and a
# record without `views` took one view, one without `faces` scored face crops.
_BEFORE = {
    "views": 1, "images": None, "manifest": None, "table": None, "fingerprint": None,
    "faces": "crop", "finding": None, "engine": "tensorflow", "passthrough": None,
    "age_distribution": False,
}  # fmt: skip
_MOST_VERSIONS = 1000
_URIS = ("images", "manifest", "bundle", "output")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run's driver and workers agree on; sent to every worker.

    Attributes:
        options: as the user gave them.
        output: normalized.
        compute: by which engine, in which precision.
        reading: coverage of the age interval, binning of the age groups.
        by_name: see `Source`.
        faces: what of each picture; `auto` until the inputs have been looked at.
        run_id: from job.json, shared by every continuation of the run; '' before the claim.
        columns: of the predictions, from job.json.
    """

    options: ScoreOptions
    output: str
    compute: Compute
    reading: Reading
    by_name: bool
    faces: Faces
    run_id: str = ""
    columns: tuple[str, ...] = schemas.COLUMNS

    @property
    def wanted(self) -> FaceSearch | None:
        """What of each picture goes to the network: which faces, or None, the whole."""
        return self.options.finding.search if self.faces == "detect" else None


@dataclasses.dataclass(frozen=True)
class ScoringJob:
    """Settings, the inputs and the network of a run: what its driver holds."""

    settings: Settings
    source: Source
    bundle: Bundle

    def identity(self) -> dict[str, Any]:
        """All that can change a row, or which rows there are."""
        settings = self.settings
        return {
            **self.source.identity(),
            "faces": settings.faces,
            "finding": self._finding(),
            "bundle_id": self.bundle.id,
            **dataclasses.asdict(settings.compute),
            "views": settings.options.network.tta,
            **dataclasses.asdict(settings.reading),
            **({"age_distribution": True} if settings.options.network.age_distribution else {}),
        }

    def _finding(self) -> dict[str, Any] | None:
        """Who looks for faces, and for which; None where pictures are scored whole."""
        wanted = self.settings.wanted
        if wanted is None:
            return None
        return {"by": finding_id(self.bundle.input), **dataclasses.asdict(wanted)}

    def lineage(self) -> dict[str, Any]:
        """What job.json and run.json say of the job: its id, and what was scored with what."""
        more = {"preprocessing": self.bundle.input.hash, "bundle": self.bundle.name}
        return {"run_id": self.settings.run_id, **self.identity(), **more}


def resolve(options: ScoreOptions, bundle: Bundle, source: Source) -> ScoringJob:
    """The job that options mean; `auto` becomes what an earlier run in the output took.

    Raises:
        UsageError: a value is not legal.
    """
    network = options.network
    output = options.place
    if network.age_distribution:
        require_distribution(bundle.name, bundle.heads)
    reading = Reading(network.coverage, chosen_bins(network.age_bins, bundle.heads))
    before = _record(output)
    compute = _compute(options, bundle, before)
    faces: Any = options.faces
    if faces == "auto" and before:
        faces = before.get("faces", _BEFORE["faces"])
    columns = schemas.COLUMNS
    if network.age_distribution:
        columns += (schemas.AGE_DISTRIBUTION,)
    settings = Settings(options, output, compute, reading, source.by_name, faces, columns=columns)
    return ScoringJob(settings, source, bundle)


def _compute(options: ScoreOptions, bundle: Bundle, before: Mapping[str, Any]) -> Compute:
    """By which engine, in which precision; what `auto` leaves open is as in an earlier run.

    Raises:
        UsageError: that cannot be had.
    """
    engine, precision = parsed(options.network.compute)
    if options.resources.device == "gpu" and engine == "openvino":
        raise UsageError(
            f"`compute` {options.network.compute} runs on cores: give `device` cpu, or `compute` "
            "tensorflow"
        )
    if before:
        with tables.record_read(layout.path(options.place, layout.JOB)):
            earlier = Compute.of(before)
        engine = earlier.engine if engine == "auto" else engine
        precision = earlier.precision if precision == "auto" else precision
        if earlier == Compute(engine, precision):
            return earlier  # whether it can be had is asked of whoever scores
    if engine == "auto" and on_gpus(options.resources):
        engine = "tensorflow"
    return choose(engine, precision, bundle, of_workers())


def require_able(job: ScoringJob) -> None:
    """Refuse a run whose engine or precision the workers' machines have not.

    Raises:
        UsageError: see `lacks`.
    """
    settings = job.settings
    lack = lacks(settings.compute, job.bundle, of_workers(), emulated=True)
    if lack is not None:
        raise UsageError(
            f"this run computes {settings.compute.words}, and {lack}: give it machines that can, "
            "or choose another `output`"
        )


def _record(output: str) -> dict[str, Any]:
    """job.json, or nothing.

    Raises:
        StorageError: it is damaged, or a newer facemill wrote it.
    """
    return Claim(output, layout.JOB, "run", {}).record() or {}


def _claim(job: ScoringJob) -> Claim:
    advice = "repeat the arguments of that run to resume it; `on_existing` new writes beside it"
    output = job.settings.output
    return Claim(output, layout.JOB, "run", job.identity(), _BEFORE, advice=advice)


def require_own(job: ScoringJob) -> None:
    """Refuse an output that another job wrote.

    Raises:
        UsageError: it holds another run, or predictions and nothing says whose.
    """
    output = job.settings.output
    predictions = layout.path(output, layout.PREDICTIONS)
    if _claim(job).require_own() is None and tables.list_parquet(predictions):
        raise UsageError(f"`output` {output} holds predictions but no {layout.JOB}: choose another")


def claim(job: ScoringJob) -> ScoringJob:
    """Write job.json if the output is free; returns the job with the run's id.

    Raises:
        UsageError: it holds another run.
    """
    require_own(job)
    record = _claim(job).take(
        lambda: {
            "format": 1,
            **job.lineage(),
            "run_id": run_id() or uuid.uuid4().hex[:12],
            "columns": job.settings.columns,
            "options": configuration.to_json(
                configuration.with_places(job.settings.options, storage.normalize, *_URIS)
            ),
        }
    )
    columns = tuple(record.get("columns", schemas.COLUMNS_BEFORE_FACES))
    settings = dataclasses.replace(job.settings, run_id=record.get("run_id", ""), columns=columns)
    return dataclasses.replace(job, settings=settings)


def with_faces(job: ScoringJob, faces: Literal["detect", "crop"]) -> ScoringJob:
    """The job with `auto` decided."""
    return dataclasses.replace(job, settings=dataclasses.replace(job.settings, faces=faces))


def settle_faces(job: ScoringJob, because: str) -> None:
    """Write what `auto` became into job.json, whose run is held by the caller's lease."""
    output = job.settings.output
    record = {**_record(output), **tables.plain(job.identity()), "faces_because": because}
    tables.write_json(layout.path(output, layout.JOB), record)


def new_version(options: ScoreOptions, bundle: Bundle, source: Source) -> ScoreOptions:
    """The options with the first of `output`, `output/v2`, … that is free or this job's own.

    Raises:
        UsageError: a thousand versions are there.
    """
    for number in range(1, _MOST_VERSIONS):
        folder = options.place if number == 1 else layout.path(options.place, f"v{number}")
        here = dataclasses.replace(options, output=folder)
        if not _claim(resolve(here, bundle, source)).differences():
            return here
    raise UsageError(f"`output` {options.place} holds {_MOST_VERSIONS} versions: choose another")
