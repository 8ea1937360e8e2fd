"""What a scoring job would do, for `dry_run`. Lists, but starts and writes nothing."""

import dataclasses

from model.errors import ManifestError
from pipelines import storage
from pipelines.predictions import frozen_inputs, layout
from pipelines.scoring import increment
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
    precision: str
    state: str


def plan(job: ScoringJob) -> Plan:
    """Look at the output and, where nothing is frozen yet, at the input.

    Raises:
        UsageError: the output holds another run.
        ManifestError: there is nothing to score.
    """
    require_own(job)
    output, options = job.settings.output, job.settings.options
    precision = job.settings.precision
    frozen = frozen_inputs.load_frozen(output)
    if frozen is None:
        inputs, exact = _count(job)
        if not inputs:
            raise ManifestError("there is nothing to score: the input lists no file")
        sizes = list(frozen_inputs.sizes(inputs, options.resources.shard_rows))
        return Plan(inputs, exact, len(sizes), len(sizes), inputs, precision, "a new run")
    done = frozen_inputs.committed(output)
    left = [rows for index, rows in enumerate(frozen.rows) if index not in done]
    state = "an interrupted run, continued"
    if not left and storage.exists(layout.path(output, layout.RUN)):
        state = "a finished run: nothing is left to do"
    if options.rerun.incremental:
        return _grown(job, frozen, done)
    return Plan(frozen.total, True, len(frozen.rows), len(left), sum(left), precision, state)


def _grown(job: ScoringJob, frozen: frozen_inputs.FrozenInputs, done: set[int]) -> Plan:
    """What `incremental` would add to an earlier run."""
    growth, stale = increment.preview(frozen, job.source.preview())
    repeated = [rows for i, rows in enumerate(frozen.rows) if i in stale or i not in done]
    shard_rows = job.settings.options.resources.shard_rows
    fresh = len(list(frozen_inputs.sizes(growth.added, shard_rows)))
    return Plan(
        frozen.total + growth.added,
        True,
        len(frozen.rows) + fresh,
        len(repeated) + fresh,
        sum(repeated) + growth.added,
        job.settings.precision,
        f"a grown source: {growth.added:,} new, {growth.changed:,} changed, "
        f"{growth.deleted:,} gone",
    )


def _count(job: ScoringJob) -> tuple[int, bool]:
    """Inputs, and whether that is all of them."""
    count = sum(part.num_rows for part in job.source.preview(MOST_LISTED))
    return min(count, MOST_LISTED), count <= MOST_LISTED
