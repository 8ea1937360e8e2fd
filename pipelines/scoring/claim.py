"""What a scoring job is: its options, and the claim to an output that job.json lays down."""

import dataclasses
import uuid
from typing import Any, Literal

import pyarrow as pa

from model.bundle import Bundle
from model.calibration import Reading
from model.errors import UsageError
from model.predictor import Precision, fastest_precision
from model.views import Views
from pipelines import storage
from pipelines.images import guarded_decoder
from pipelines.manifests import manifest
from pipelines.manifests.sources import inventory
from pipelines.predictions import layout
from pipelines.storage import tables
from pipelines.telemetry.phases import run_id

# What can change a row, or which rows there are.
_IDENTITY = (
    "images",
    "manifest",
    "table",
    "fingerprint",
    "bundle_id",
    "precision",
    "coverage",
    "age_bins",
    "views",
)
_BEFORE_IT_WAS_THERE = {"views": 1}  # what outputs did whose job.json lacks the key
_MOST_VERSIONS = 1000


@dataclasses.dataclass(frozen=True)
class ScoreOptions:
    """What to score, with what, where.

    Attributes:
        source: normalized URI of the images or the manifest.
        kind: `images`, `manifest`, or `table` (rows given by the caller, see `scoring.score`).
        output: folder or prefix.
        precision: of the network's body; `auto` takes an earlier run's, else the fastest here.
        shard_rows: inputs a shard; None lets shards grow, see `shards.shard_rows`.
        reading: coverage of the age interval, binning of the age groups.
        max_quarantine: share of inputs in quarantine (0-1) above which the run stops early.
        image_timeout_s: a decode that takes longer costs the image.
        patience_s: how long a worker tries again where the store fails, beyond each request's own.
        decoder: `module:function` with which workers decode.
        incremental: list again, and score what is new or changed since.
        workers: at most so many, a core or a GPU each; None takes all of the cluster.
        plan: `fused` does all stages of a shard in one process on one core; `separate` decodes in
            Ray tasks on CPUs apart from the network; `auto` is separate where there are GPUs.
        use_gpu: the network runs on GPUs, one a worker; Ray adds such nodes if it can.
        views: of each image, whose outputs are averaged: see model/views.py.
        run_id: of the run, from job.json; `claim` fills it in.
    """

    source: str
    kind: str
    output: str
    precision: Precision | Literal["auto"] = "float32"
    shard_rows: int | None = None
    reading: Reading = dataclasses.field(default_factory=Reading)
    max_quarantine: float | None = None
    image_timeout_s: float = guarded_decoder.TIMEOUT_S
    patience_s: float = 180.0
    decoder: str = guarded_decoder.DECODER
    workers: int | None = None
    incremental: bool = False
    run_id: str = ""
    plan: Literal["auto", "fused", "separate"] = "auto"
    use_gpu: bool = False
    views: Views = 1

    @property
    def concrete_precision(self) -> Precision:
        """The precision, which `resolved` has settled.

        Raises:
            ValueError: it is still `auto`.
        """
        if self.precision == "auto":
            raise ValueError("precision is 'auto': resolve the options first")
        return self.precision


def resolved(options: ScoreOptions) -> ScoreOptions:
    """The options with `auto` precision settled: as the earlier run here, else the fastest."""
    if options.precision != "auto":
        return options
    try:
        precision: Any = tables.read_json(layout.path(options.output, layout.JOB))["precision"]
    except FileNotFoundError:
        precision = fastest_precision()
    return dataclasses.replace(options, precision=precision)


def identity(options: ScoreOptions, bundle: Bundle, rows: pa.Table | None = None) -> dict[str, Any]:
    """What job.json holds: all that can change a row."""
    found: dict[str, Any] = {
        options.kind: inventory.lasting_name(options.source),
        "bundle_id": bundle.id,
        "preprocessing": bundle.input.hash,
        "precision": options.precision,
        "views": options.views,
        **dataclasses.asdict(options.reading),
    }
    if rows is not None:
        found["fingerprint"] = manifest.fingerprint(rows)
    return found


def lineage(options: ScoreOptions, bundle: Bundle) -> dict[str, Any]:
    """What run.json says of the job: its id, and what was scored with what."""
    return {"run_id": options.run_id, **identity(options, bundle), "bundle": bundle.name}


def differences(options: ScoreOptions, bundle: Bundle, rows: pa.Table | None) -> list[str] | None:
    """What another job in this output did otherwise; None if the output is free.

    Raises:
        UsageError: there are predictions and nothing says whose.
    """
    wanted = identity(options, bundle, rows)
    try:
        found = tables.read_json(layout.path(options.output, layout.JOB))
    except FileNotFoundError:
        if tables.list_parquet(layout.path(options.output, layout.PREDICTIONS)):
            raise UsageError(
                f"--output {options.output} holds predictions but no job.json: choose another"
            ) from None
        return None
    before = {**_BEFORE_IT_WAS_THERE, **found}
    return [
        f"{key} was {before.get(key)!r}, is {wanted.get(key)!r}"
        for key in _IDENTITY
        if before.get(key) != wanted.get(key)
    ]


def require_own(options: ScoreOptions, bundle: Bundle, rows: pa.Table | None) -> bool:
    """Refuse an output that another job wrote; returns whether it is free.

    Raises:
        UsageError: the output holds another run; the message names what differs.
    """
    changed = differences(options, bundle, rows)
    if changed:
        raise UsageError(
            f"--output {options.output} holds another run ({'; '.join(changed)}): choose another "
            "--output, or repeat the arguments of that run to resume it; --new-version writes "
            "beside it"
        )
    return changed is None


def claim(options: ScoreOptions, bundle: Bundle, rows: pa.Table | None) -> ScoreOptions:
    """Write job.json if the output is free.

    Returns:
        The options with the run's id, which every continuation of the run shares.

    Raises:
        UsageError: it holds another run.
    """
    marker = layout.path(options.output, layout.JOB)
    if require_own(options, bundle, rows):
        record = {
            "format": 1,
            "run_id": run_id() or uuid.uuid4().hex[:12],
            **identity(options, bundle, rows),
            "bundle": bundle.name,
        }
        tables.write_json(marker, record)
    return dataclasses.replace(options, run_id=tables.read_json(marker).get("run_id", ""))


def new_version(options: ScoreOptions, bundle: Bundle) -> ScoreOptions:
    """The options with the first of `output`, `output/v2`, … that is free or this job's own.

    Raises:
        UsageError: a thousand versions are there.
    """
    for number in range(1, _MOST_VERSIONS):
        folder = options.output if number == 1 else storage.join(options.output, f"v{number}")
        here = resolved(dataclasses.replace(options, output=folder))
        if not differences(here, bundle, None):
            return here
    raise UsageError(f"--output {options.output} holds {_MOST_VERSIONS} versions: choose another")
