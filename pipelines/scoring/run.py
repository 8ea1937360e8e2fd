"""Scoring: frozen input shards -> fetch, decode, network -> one Parquet file a shard.

The design that survived every kill (docs/decisions/002-exactly-once.md): a shard's predictions
file is named after the shard and put in place in one go, so its existence is the commit. A re-run
lists what is there and scores the rest. `run.json` is written last.
"""

import collections
import dataclasses
import json
import re
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.exceptions

from model.bundle import Bundle
from model.errors import FacemillError, ManifestError
from pipelines import storage
from pipelines.bundles.opening import copy_bundle
from pipelines.manifests import manifest
from pipelines.manifests.sources import images, inventory
from pipelines.predictions import frozen_inputs, layout
from pipelines.predictions.run_record import write_run
from pipelines.scoring import increment
from pipelines.scoring.claim import ScoreOptions, claim, lineage, resolved
from pipelines.scoring.counters import ScoringCounters
from pipelines.scoring.increment import Growth
from pipelines.scoring.placement import placed
from pipelines.scoring.progress import ScoreProgress
from pipelines.scoring.worker import ShardRecord, ShardScorer
from pipelines.storage import listing, tables
from pipelines.storage.lease import Lease
from pipelines.telemetry.phases import adopt_run, phase
from pipelines.telemetry.progress import Progress

_NO_GPU = (
    "note: Ray counts GPUs, but TensorFlow beside them finds none, so the network ran on cores: "
    "install deploy/requirements-gpu.lock on those nodes, or give --plan fused"
)
QUARANTINE_SAMPLE = 400  # inputs before --max-quarantine is looked at: fewer say little


@dataclasses.dataclass(frozen=True)
class Scored:
    """A finished run, as written to run.json."""

    record: Mapping[str, Any]
    skipped: int
    seconds: float
    growth: Growth | None = None


def score(options: ScoreOptions, bundle: Bundle, rows: pa.Table | None = None) -> Scored:
    """Score everything below `options.source`, or what is left of an earlier run.

    Args:
        options: what and where.
        bundle: the network.
        rows: for kind `table`, the manifest rows to score.

    Raises:
        UsageError: the output holds another run (the message names what differs), or another
            driver is at work in it.
        FacemillError: a worker failed for good, too much is quarantined, or the files do not add
            up.
    """
    started = time.monotonic()
    try:
        with Lease(options.output) as lease:
            return _score(options, bundle, rows, lease, started)
    except OSError as error:  # a full disk, an outage longer than our patience
        raise FacemillError(
            f"{error}; what is scored is safe: the same command continues from there"
        ) from error


def _score(
    options: ScoreOptions, bundle: Bundle, rows: pa.Table | None, lease: Lease, started: float
) -> Scored:
    """`score`, by the driver that holds the output."""
    options = resolved(options)
    options = claim(options, bundle, rows)
    adopt_run(options.run_id)
    with phase("freeze") as facts:
        frozen, grown = _freeze(options, rows)
        facts["inputs"], facts["shards"] = frozen.total, len(frozen.rows)
    committed = frozen_inputs.committed(options.output)
    pending = [index for index in range(len(frozen.rows)) if index not in committed]
    skipped = sum(frozen.rows[index] for index in committed if index < len(frozen.rows))
    marker = layout.path(options.output, layout.RUN)
    if not pending and storage.exists(marker):
        seconds = time.monotonic() - started
        return Scored(tables.read_json(marker), skipped, seconds, grown)
    storage.delete(marker)
    copy_bundle(bundle, layout.path(options.output, layout.BUNDLE))
    with phase("score") as facts:
        facts["skipped"], facts["shards"] = skipped, len(pending)
        records = _run(options, frozen, pending, lease) if pending else {}
    seconds = time.monotonic() - started
    with phase("record") as facts:
        record = write_run(
            options.output, lineage(options, bundle), frozen, records, seconds, lease.confirm
        )
        facts |= {name: record[name] for name in ("inputs", "scored", "quarantined")}
    return Scored(record, skipped, seconds, grown)


def _freeze(
    options: ScoreOptions, rows: pa.Table | None
) -> tuple[frozen_inputs.FrozenInputs, Growth | None]:
    """The inputs as an earlier run froze them, maybe grown since, or frozen now."""
    frozen, output = frozen_inputs.load_frozen(options.output), options.output
    if frozen is None:
        return frozen_inputs.freeze(output, _list_inputs(options, rows), options.shard_rows), None
    if options.incremental or increment.is_unfinished(output):
        return increment.grow(output, frozen, _list_inputs(options, rows), options.shard_rows)
    return frozen, None


def _list_inputs(options: ScoreOptions, rows: pa.Table | None) -> Iterator[pa.Table]:
    """The inputs as tables, with progress.

    Raises:
        ManifestError: there are no images, or uris that are named twice.
    """
    if options.kind == "images":
        progress, named = Progress("list", None, "files"), False
        for part in _listed(options.source):
            uris: list[Any] = part["uri"].to_pylist()
            named = named or any(map(listing.has_image_name, uris))
            progress.advance(part.num_rows)
            yield part
        if not named:
            what = f"{progress.done} files, none of them" if progress.done else "no files, so no"
            raise ManifestError(f"--images {options.source} holds {what} images")
        progress.close()
        return
    if rows is None and inventory.is_inventory(options.source):
        # Too many to look for keys named twice here; jobs.verify does.
        yield from inventory.read_inventory(options.source)
        return
    table = rows if rows is not None else manifest.read_manifest(options.source, ["uri"])
    count = len(pc.unique(table["uri"]))
    if count < table.num_rows:
        raise ManifestError(
            f"{options.source} names {table.num_rows - count:,} of its {table.num_rows:,} uris "
            "more than once, and each input is one row: drop the duplicates"
        )
    yield table


def _listed(folder: str) -> Iterator[pa.Table]:
    """The files below `folder`: by Ray Data where there are folders to list in parallel.

    A flat folder is one stream anyway, and starting Ray Data for it costs some seconds.
    """
    roots = listing.list_roots(folder)
    if len(roots) == 1:
        yield from images.list_entries({"root": [roots[0][0]], "descend": [roots[0][1]]})
        return
    batches: Any = images.listed_files(folder)
    yield from batches.iter_batches(batch_size=None, batch_format="pyarrow")


def _run(
    options: ScoreOptions, frozen: frozen_inputs.FrozenInputs, pending: list[int], lease: Lease
) -> dict[int, ShardRecord]:
    """Score the pending shards on a pool of actors, one a core or one a GPU."""
    options, placement = placed(options, len(pending))
    print(f"plan: {placement.sentence}", file=sys.stderr, flush=True)
    left = sum(frozen.rows[index] for index in pending)
    counters = ScoringCounters(options.run_id, frozen.total, left)
    # Large shards first, small ones last, so that all cores end at about the same time.
    items = [{"shard": index} for index in reversed(pending)]
    blocks = ray.data.from_items(items, override_num_blocks=len(items))
    progress, records, done = ScoreProgress(left), dict[int, ShardRecord](), 0
    results = blocks.map_batches(
        ShardScorer,
        batch_size=1,
        # A node that joins while it runs is used: the pool grows as Ray finds room.
        compute=ray.data.ActorPoolStrategy(
            min_size=placement.workers,
            max_size=placement.most,
            max_tasks_in_flight_per_actor=2,
        ),
        fn_constructor_args=(options, progress.tally),
        num_cpus=placement.num_cpus,
        num_gpus=placement.num_gpus,
    )
    try:
        with progress:
            for row in results.iter_rows():
                record = ShardRecord(**row)
                records[record.shard] = record
                progress.commit(record.shard, record.scored, record.quarantined)
                counters.committed(record)
                lease.check()
                done += record.scored + record.quarantined
                _check_quarantine(options, done, records)
    except ray.exceptions.RayError as error:
        raise FacemillError(
            f"{_reason(error)}; what is scored is safe: the same command continues from there"
        ) from None
    if options.use_gpu and any(record.device == "CPU" for record in records.values()):
        print(_NO_GPU, file=sys.stderr, flush=True)
    return records


def _reason(error: BaseException) -> str:
    """The cause in Ray's text: the last line that names an error, not Ray's hints below it."""
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception)[^:]*: \S", line)]
    return re.sub(r"^[\w.]*\.", "", (named or lines)[-1])


def _check_quarantine(options: ScoreOptions, done: int, records: Mapping[int, ShardRecord]) -> None:
    """Stop a run that is clearly wrong, e.g. over the wrong bucket.

    Raises:
        FacemillError: of the inputs so far, more than `options.max_quarantine` are quarantined.
    """
    limit = options.max_quarantine
    if limit is None or done < QUARANTINE_SAMPLE:
        return
    reasons = collections.Counter[str]()
    for record in records.values():
        reasons.update(json.loads(record.reasons))
    share = reasons.total() / done
    if share > limit:
        raise FacemillError(
            f"{share:.1%} of the first {done:,} inputs are in quarantine (most: "
            f"{reasons.most_common(1)[0][0]}), over --max-quarantine {limit:.1%}: is this the "
            "right place? What is scored is safe: the same command with a higher limit continues"
        )
