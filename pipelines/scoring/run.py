"""Scoring: frozen input shards -> fetch, decode, network -> one Parquet file a shard.

A shard's predictions file is named after the shard and put in place at once, so its existence is
the commit. The same command again lists what is there and scores the rest. `run.json` is written
last. Why so: docs/decisions/002-exactly-once.md.
"""

import collections
import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import ray
import ray.data
from ray.exceptions import RayError

from model.errors import FacemillError
from pipelines import storage
from pipelines.bundles.opening import copy_bundle
from pipelines.cluster import nodes
from pipelines.cluster.errors import as_resumable_failure, code_was_missing
from pipelines.cluster.shared_disk import require_shared
from pipelines.manifests.sources.images import Images
from pipelines.predictions import frozen_inputs, layout
from pipelines.predictions.frozen_inputs import FrozenInputs
from pipelines.predictions.run_record import NO_FAILURES, ShardRecord, write_run
from pipelines.scoring import increment, retrying
from pipelines.scoring.counters import ScoringCounters
from pipelines.scoring.face_mode import decide
from pipelines.scoring.increment import Growth
from pipelines.scoring.job import Job
from pipelines.scoring.options import Limits
from pipelines.scoring.placement import placed
from pipelines.scoring.plan import Plan, claim, plan, require_able
from pipelines.scoring.progress import ScoreProgress
from pipelines.scoring.worker import ShardScorer
from pipelines.storage import tables
from pipelines.storage.lease import Lease
from pipelines.telemetry.log import note
from pipelines.telemetry.phases import adopt_run, phase

_NO_GPU = (
    "note: Ray counts GPUs, but TensorFlow beside them finds none, so the network ran on cores: "
    "install deploy/requirements-gpu.lock on those nodes, or give `device` cpu"
)
_TRIES = 3  # of the whole pool of workers; see `code_was_missing`
QUARANTINE_SAMPLE = 400  # inputs before `max_quarantine` is looked at: fewer say little


@dataclasses.dataclass(frozen=True)
class Scored:
    """A finished run, as written to run.json."""

    record: Mapping[str, Any]
    skipped: int
    seconds: float
    growth: Growth | None = None


def score(job: Job) -> Scored:
    """Score everything that a job names, or what is left of an earlier run.

    Raises:
        UsageError: the output holds another run (the message names what differs), or another
            driver is at work in it.
        FacemillError: a worker failed for good, too much is quarantined, or the files do not add
            up.
    """
    started = time.monotonic()
    with as_resumable_failure("scored"), Lease(job.output) as lease:
        planned = claim(plan(job))
        adopt_run(planned.run_id)
        return run(planned, lease, started)


def run(planned: Plan, lease: Lease, started: float) -> Scored:
    """Carry out a plan, as the driver that holds the output."""
    output = planned.job.output
    with phase("freeze") as facts:
        frozen, growth = _freeze(planned)
        if planned.job.options.retries or planned.retrying:
            retrying.put_back(output, planned.job.options.retries_no_face)
        planned = planned.with_shards(frozen)
        facts["inputs"], facts["shards"] = frozen.total, len(frozen.rows)
    _require_shared(planned, frozen)
    require_able(planned)
    planned = decide(planned, frozen)
    pending, skipped = planned.pending, planned.skipped
    marker = layout.path(output, layout.RUN)
    if not pending and planned.finished:
        retrying.finish(output)  # its driver may have died between the two
        return Scored(tables.read_json(marker), skipped, time.monotonic() - started, growth)
    storage.delete(marker)
    copy_bundle(planned.job.bundle, layout.path(output, layout.BUNDLE))
    with phase("score") as facts:
        facts["skipped"], facts["shards"] = skipped, len(pending)
        records = _run_with_retries(planned, frozen, pending, lease)
    # A worker that died right after its commit has left its count; nothing is pending any more.
    storage.delete_tree(layout.path(output, layout.ATTEMPTS))
    seconds = time.monotonic() - started
    with phase("record") as facts:
        record = write_run(output, planned.lineage(), frozen, records, seconds, lease.confirm)
        facts |= {name: record[name] for name in ("inputs", "scored", "quarantined")}
    retrying.finish(output)
    return Scored(record, skipped, seconds, growth)


def _require_shared(planned: Plan, frozen: FrozenInputs) -> None:
    """Refuse a local output, or local inputs, that other nodes of the cluster do not see.

    Raises:
        UsageError: see `require_shared`.
    """
    output = planned.job.output
    files: dict[str, str] = {}
    if storage.is_local(output):
        files["output"] = layout.path(output, layout.JOB)
    first = frozen.first_uri()
    if first and storage.is_local(first):
        entry = first if storage.exists(first) else storage.file_of(first)
        if storage.exists(entry):
            files["images" if planned.job.options.images else "manifest"] = entry
    require_shared(files)


def _freeze(planned: Plan) -> tuple[FrozenInputs, Growth | None]:
    """The inputs as an earlier run froze them, maybe grown since, or frozen now."""
    job, frozen = planned.job, planned.frozen
    rows = job.options.resources.shard_rows

    def excluded() -> int:
        return job.source.excluded if isinstance(job.source, Images) else 0

    if frozen is None:
        return frozen_inputs.freeze(job.output, job.source.parts(), rows, excluded), None
    if job.options.updates or planned.growing:
        drop = job.options.on_existing == "mirror"
        return increment.grow(job.output, frozen, job.source.parts(), rows, drop, excluded)
    return frozen, None


def _run_with_retries(
    planned: Plan, frozen: FrozenInputs, pending: list[int], lease: Lease
) -> dict[int, ShardRecord]:
    """`_run`; what is left once more, where a node lost facemill's code or gave shards back.

    Raises:
        FacemillError: machines that cannot compute as the run does are all that is left.
    """
    records = dict[int, ShardRecord]()
    avoided: dict[str, str] = {}  # node -> why
    tries = _TRIES
    while pending:
        try:
            found = _run(planned, frozen, pending, lease, list(avoided))
        except RayError as error:
            tries -= 1
            if not (tries and code_was_missing(error)):
                raise
            note("a node had lost facemill's code for a moment, as Ray sometimes does: continuing")
            found = {}
        for index, record in found.items():
            if record.unable:
                avoided[record.node] = record.unable
            else:
                records[index] = record
        committed = frozen_inputs.committed(planned.job.output)
        pending = [index for index in pending if index not in committed]
        if pending and avoided and not nodes.has_cores_beside(list(avoided)):
            raise FacemillError(
                f"no machine is left that computes {planned.compute.words} as this run does "
                f"({next(iter(avoided.values()))}); what is scored is safe: the same command "
                "continues on machines that do"
            )
    return records


def _run(
    planned: Plan,
    frozen: FrozenInputs,
    pending: list[int],
    lease: Lease,
    avoided: Sequence[str],
) -> dict[int, ShardRecord]:
    """Score the pending shards on a pool of actors, one a core or one a GPU, not on `avoided`."""
    options = planned.job.options
    placement = placed(options.resources, len(pending), planned.compute.engine)
    note(f"plan: {placement.sentence}; {planned.compute.words}")
    left = sum(frozen.rows[index] for index in pending)
    counters = ScoringCounters(planned.run_id, frozen.total, left)
    # Large shards first, small ones last, so that all cores end at about the same time.
    items = [{"shard": index} for index in reversed(pending)]
    blocks = ray.data.from_items(items, override_num_blocks=len(items))
    progress = ScoreProgress(left)
    records = dict[int, ShardRecord]()
    done, failures = 0, collections.Counter[str]()
    results = blocks.map_batches(
        ShardScorer,
        batch_size=1,
        # A node that joins while it runs is used: the pool grows as Ray finds room.
        compute=ray.data.ActorPoolStrategy(
            min_size=placement.workers,
            max_size=placement.max_workers,
            max_tasks_in_flight_per_actor=2,
        ),
        fn_constructor_args=(planned.settings, placement, progress.tally),
        **placement.resources,
        **nodes.beside(avoided),
    )
    with progress:
        for row in results.iter_rows():
            record = ShardRecord(**row)
            records[record.shard] = record
            if record.unable:
                continue
            progress.commit(record.shard, record.scored, record.quarantined)
            counters.committed(record)
            lease.check()
            done += record.scored + record.quarantined
            failures.update(failures_of(record))
            _check_quarantine(options.limits, done, failures)
    if placement.use_gpu and any(record.device == "CPU" for record in records.values()):
        note(_NO_GPU)
    return records


def failures_of(record: ShardRecord) -> dict[str, int]:
    """Inputs of a shard that failed, by reason."""
    reasons: dict[str, int] = json.loads(record.reasons)
    return {name: count for name, count in reasons.items() if name not in NO_FAILURES}


def _check_quarantine(limits: Limits, done: int, failures: "collections.Counter[str]") -> None:
    """Stop a run that is clearly wrong, e.g. over the wrong bucket.

    Raises:
        FacemillError: of the inputs so far, more than `limits.max_quarantine` are quarantined.
    """
    limit = limits.quarantine_share
    if limit is None or done < QUARANTINE_SAMPLE:
        return
    share = failures.total() / done
    if share > limit:
        raise FacemillError(
            f"{share:.1%} of the first {done:,} inputs are in quarantine (most: "
            f"{failures.most_common(1)[0][0]}), over `max_quarantine` {limit:.1%}: are these "
            "the right images? What is scored is safe: the same command with a higher limit "
            "continues"
        )
