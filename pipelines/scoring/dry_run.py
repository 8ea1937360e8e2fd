"""What a scoring job would do, for `dry_run`. Lists, but starts and writes nothing."""

import dataclasses

import pyarrow as pa

from model.engines.choosing import parsed
from model.errors import ManifestError
from pipelines import storage
from pipelines.predictions import frozen_inputs, layout
from pipelines.scoring import increment, retrying
from pipelines.scoring.choosing import Choice, choose, choose_by_frozen, some
from pipelines.scoring.claim import ScoringJob, require_own

MOST_LISTED = 1_000_000  # a dry run over a billion keys shall not list for hours


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is there and what is left to do; `inputs_exact` is False where the listing was cut."""

    inputs: int
    inputs_exact: bool
    shards: int
    pending_shards: int
    pending_inputs: int
    compute: str
    state: str
    faces: str = ""


def plan(job: ScoringJob) -> Plan:
    """Look at the output and, where nothing is frozen yet, at the input.

    Raises:
        UsageError: the output holds another run.
        ManifestError: there is nothing to score.
    """
    require_own(job)
    output, options = job.settings.output, job.settings.options
    compute = _computed(job)
    frozen = frozen_inputs.load_frozen(output)
    if frozen is None:
        return _fresh(job)
    faces = job.settings.faces
    if faces == "auto":
        faces = _chosen(choose_by_frozen(job, frozen))
    done = frozen_inputs.committed(output)
    left = [rows for index, rows in enumerate(frozen.rows) if index not in done]
    state = "an interrupted run, continued"
    if not left and storage.exists(layout.path(output, layout.RUN)):
        state = "a finished run: nothing is left to do"
    if options.updates:
        return _grown(job, frozen, done)
    if options.retries:
        failed = retrying.failed_inputs(output, options.on_existing == "retry-no-face")
        left = [
            rows for index, rows in enumerate(frozen.rows) if index in failed or index not in done
        ]
        state = f"a retry of {sum(failed.values()):,} failed inputs"
    total, shards = frozen.total, len(frozen.rows)
    return Plan(total, True, shards, len(left), sum(left), compute, state, faces)


def _fresh(job: ScoringJob) -> Plan:
    """A run of which nothing is there yet."""
    listed, exact = list[pa.Table](), True
    for part in job.source.preview(MOST_LISTED):
        listed.append(part)
        if sum(part.num_rows for part in listed) > MOST_LISTED:
            exact = False
    rows = job.settings.options.resources.shard_rows
    shards = list(frozen_inputs.regroup(listed, rows))
    inputs = min(sum(shard.num_rows for shard in shards), MOST_LISTED)
    if not inputs:
        raise ManifestError("there is nothing to score: the input lists no file")
    faces = job.settings.faces
    if faces == "auto":
        faces = _chosen(choose(job, some(shards)))
    count = len(shards)
    return Plan(inputs, exact, count, count, inputs, _computed(job), "a new run", faces)


def _computed(job: ScoringJob) -> str:
    by = ", by this machine" if "auto" in parsed(job.settings.options.network.compute) else ""
    return job.settings.compute.words + by


def _chosen(choice: Choice) -> str:
    return f"{choice.faces}, as {choice.because}"


def _grown(job: ScoringJob, frozen: frozen_inputs.FrozenInputs, done: set[int]) -> Plan:
    """What `incremental` would add to an earlier run."""
    rows = job.settings.options.resources.shard_rows
    growth, stale, fresh = increment.preview(frozen, job.source.preview(), rows)
    repeated = [rows for i, rows in enumerate(frozen.rows) if i in stale or i not in done]
    return Plan(
        frozen.total + growth.added,
        True,
        len(frozen.rows) + fresh,
        len(repeated) + fresh,
        sum(repeated) + growth.added,
        _computed(job),
        f"a grown source: {growth.added:,} new, {growth.changed:,} changed, "
        f"{growth.deleted:,} gone",
        job.settings.faces,
    )
