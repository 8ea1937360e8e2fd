"""Scoring: frozen input shards -> fetch, decode, network -> one Parquet file a shard.

The design that survived every kill (docs/decisions/002-exactly-once.md): a shard's predictions
file is named after the shard and put in place in one go, so its existence is the commit. A re-run
lists what is there and scores the rest. `run.json` is written last.
"""

import dataclasses
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.exceptions

from model.bundle import Bundle
from model.calibration import Reading
from model.errors import FacemillError, ManifestError, UsageError
from model.predictor import Precision, Predictor
from pipelines import ingest, listing, manifest, predictions, shards, storage, tables
from pipelines.bundles import copy_bundle, open_bundle
from pipelines.progress import Progress
from pipelines.rows import BATCH_IMAGES, score_entries


@dataclasses.dataclass(frozen=True)
class ScoreOptions:
    """What to score, with what, where.

    Attributes:
        source: normalized URI of the images or the manifest.
        kind: `images`, `manifest`, or `table` (rows given by the caller, see `score`).
        output: folder or prefix.
        precision: of the network's body.
        shard_rows: inputs a shard; None lets shards grow, see `shards.shard_rows`.
        reading: coverage of the age interval, binning of the age groups.
    """

    source: str
    kind: str
    output: str
    precision: Precision = "float32"
    shard_rows: int | None = None
    reading: Reading = dataclasses.field(default_factory=Reading)


@dataclasses.dataclass(frozen=True)
class Scored:
    """A finished run, as written to run.json."""

    record: Mapping[str, Any]
    skipped: int
    seconds: float


class ShardScorer:
    """One worker: the network once, then shard after shard, all stages fused in one process.

    On a CPU the network is the cost, not the decode, so a separate decode stage would leave a
    core idle (findings: 202-223 against 375-426 images/s).
    """

    def __init__(self, options: ScoreOptions) -> None:
        """Load the output's copy of the bundle on one thread.

        From the output and not as an argument: Ray cannot restart an actor whose large
        constructor arguments were lost with their node (ray#53727).
        """
        self.bundle = open_bundle(storage.join(options.output, "bundle"))
        self.predictor = Predictor(self.bundle, options.precision, BATCH_IMAGES, threads=1)
        self.output, self.reading = options.output, options.reading
        self.inputs = storage.join(options.output, "inputs")

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Score one shard a row and commit it; returns shard, scored and quarantined."""
        counts = [self._score_shard(int(index)) for index in batch["shard"]]
        return {
            "shard": batch["shard"],
            "scored": np.array([count[0] for count in counts]),
            "quarantined": np.array([count[1] for count in counts]),
        }

    def _score_shard(self, index: int) -> tuple[int, int]:
        entries = tables.read_table(shards.shard_uri(self.inputs, index)).to_pylist()
        good, bad = score_entries(entries, self.predictor, self.reading)
        notes = {"facemill.bundle_id": self.bundle.id, "facemill.inputs": str(len(entries))}
        # Quarantine first: the predictions file is the commit and must find all else in place.
        tables.write_table(self._uri("quarantine", index), bad, notes)
        tables.write_table(self._uri("predictions", index), good, notes)
        return good.num_rows, bad.num_rows

    def _uri(self, kind: str, index: int) -> str:
        return shards.shard_uri(storage.join(self.output, kind), index)


def score(options: ScoreOptions, bundle: Bundle, rows: pa.Table | None = None) -> Scored:
    """Score everything below `options.source`, or what is left of an earlier run.

    Args:
        options: what and where.
        bundle: the network.
        rows: for kind `table`, the manifest rows to score.

    Raises:
        UsageError: the output holds another run; the message names what differs.
        FacemillError: a worker failed for good, or the files do not add up.
    """
    started = time.monotonic()
    _claim(options, bundle, rows)
    frozen = shards.load_frozen(options.output) or shards.freeze(
        options.output, _list_inputs(options, rows), options.shard_rows
    )
    committed = _committed(options.output)
    pending = [index for index in range(len(frozen.rows)) if index not in committed]
    skipped = sum(frozen.rows[index] for index in committed if index < len(frozen.rows))
    if pending:
        storage.delete(storage.join(options.output, "run.json"))
        _run(options, bundle, frozen, pending)
    seconds = time.monotonic() - started
    return Scored(_finish(options, bundle, frozen, seconds, bool(pending)), skipped, seconds)


def _claim(options: ScoreOptions, bundle: Bundle, rows: pa.Table | None) -> None:
    """Write job.json, or refuse an output that another job wrote."""
    marker = storage.join(options.output, "job.json")
    identity: dict[str, Any] = {
        options.kind: options.source,
        "bundle_id": bundle.id,
        "preprocessing": bundle.input.hash,
        "precision": options.precision,
        **dataclasses.asdict(options.reading),
    }
    if rows is not None:
        identity["fingerprint"] = manifest.fingerprint(rows)
    if not storage.exists(marker):
        if tables.list_parquet(storage.join(options.output, "predictions")):
            raise UsageError(
                f"--output {options.output} holds predictions but no job.json: choose another"
            )
        tables.write_json(marker, {"format": 1, **identity, "bundle": bundle.name})
        return
    before = tables.read_json(marker)
    changed = [
        f"{key} was {before.get(key)!r}, is {identity.get(key)!r}"
        for key in (
            "images",
            "manifest",
            "table",
            "fingerprint",
            "bundle_id",
            "precision",
            "coverage",
            "age_bins",
        )
        if before.get(key) != identity.get(key)
    ]
    if changed:
        raise UsageError(
            f"--output {options.output} holds another run ({'; '.join(changed)}): choose another "
            "--output, or repeat the arguments of that run to resume it"
        )


def _list_inputs(options: ScoreOptions, rows: pa.Table | None) -> Iterator[pa.Table]:
    """The inputs as tables, with progress; images are listed by Ray Data, in parallel."""
    if options.kind == "images":
        progress, named = Progress("list", None, "files"), False
        for part in ingest.listed_files(options.source).iter_batches(
            batch_size=None, batch_format="pyarrow"
        ):
            named = named or any(map(listing.has_image_name, part["uri"].to_pylist()))
            progress.advance(part.num_rows)
            yield part
        if not named:
            what = f"{progress.done} files, none of them" if progress.done else "no files, so no"
            raise ManifestError(f"--images {options.source} holds {what} images")
        progress.close()
        return
    yield rows if rows is not None else manifest.read_manifest(options.source, ["uri"])


def _committed(output: str) -> set[int]:
    """Shards whose predictions file exists."""
    files = tables.list_parquet(storage.join(output, "predictions"))
    return {int(file.rsplit("-", 1)[1].removesuffix(".parquet")) for file in files}


def _run(
    options: ScoreOptions, bundle: Bundle, frozen: shards.FrozenInputs, pending: list[int]
) -> None:
    """Score the pending shards on a pool of actors, one a core."""
    copy_bundle(bundle, storage.join(options.output, "bundle"))
    cores = int(ray.cluster_resources().get("CPU", 1))
    actors = max(1, min(cores, len(pending)))
    # Large shards first, small ones last, so that all cores end at about the same time.
    items = [{"shard": index} for index in reversed(pending)]
    results = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        ShardScorer,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=2),
        fn_constructor_args=(options,),
        num_cpus=1,
    )
    progress = Progress("score", sum(frozen.rows[index] for index in pending))
    quarantined = 0
    try:
        for row in results.iter_rows():
            quarantined += int(row["quarantined"])
            note = f"{quarantined:,} quarantined"
            progress.advance(int(row["scored"]) + int(row["quarantined"]), note)
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        text = str(cause).strip().splitlines()[-1]
        raise FacemillError(
            f"{text}; what is scored is safe: the same command continues from there"
        ) from None
    progress.close(f"{quarantined:,} quarantined")


def _finish(
    options: ScoreOptions,
    bundle: Bundle,
    frozen: shards.FrozenInputs,
    seconds: float,
    scored_now: bool,
) -> dict[str, Any]:
    """Check every footer against the frozen inputs and write run.json, last of all."""
    marker = storage.join(options.output, "run.json")
    if not scored_now and storage.exists(marker):
        return tables.read_json(marker)
    counts = {"predictions": 0, "quarantine": 0}
    for index, rows in enumerate(frozen.rows):
        found = 0
        for kind in counts:
            uri = shards.shard_uri(storage.join(options.output, kind), index)
            footer = pq.read_metadata(pa.BufferReader(storage.read_bytes(uri)))
            counts[kind] += footer.num_rows
            found += footer.num_rows
        if found != rows:
            raise FacemillError(
                f"shard {index} has {found} rows for {rows} inputs: delete "
                f"{shards.shard_uri(storage.join(options.output, 'predictions'), index)} and run "
                "the same command again"
            )
    record: dict[str, Any] = {
        "format": 1,
        options.kind: options.source,
        "inputs": frozen.total,
        "scored": counts["predictions"],
        "quarantined": counts["quarantine"],
        "quarantine_reasons": _reasons(options.output),
        "bundle": bundle.name,
        "bundle_id": bundle.id,
        "preprocessing": bundle.input.hash,
        "precision": options.precision,
        **dataclasses.asdict(options.reading),
        "seconds": round(seconds, 2),
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": {name: version(name) for name in ("keras", "tensorflow", "ray", "pillow")},
    }
    tables.write_json(marker, record)
    return record


def _reasons(output: str) -> dict[str, int]:
    """Quarantined rows by `stage: error`."""
    rows: Any = predictions.read_quarantine(output).select(["stage", "error"]).to_pandas()
    return {
        f"{stage}: {error}": len(group)
        for (stage, error), group in rows.groupby(["stage", "error"])
    }
