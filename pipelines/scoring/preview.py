"""What a scoring job would do, for `dry_run`: its plan in numbers. Starts and writes nothing."""

import dataclasses

import pyarrow as pa

from model.backends.selection import parsed
from model.errors import ManifestError
from pipelines.predictions import frozen_inputs
from pipelines.predictions.frozen_inputs import FrozenInputs
from pipelines.scoring import increment, retrying
from pipelines.scoring.face_mode import choose, choose_by_frozen, some
from pipelines.scoring.plan import Plan

MAX_LISTED = 1_000_000  # a dry run over a billion keys shall not list for hours


@dataclasses.dataclass(frozen=True)
class Preview:
    """What is there and what is left to do; `inputs_exact` is False where the listing was cut."""

    inputs: int
    inputs_exact: bool
    shards: int
    pending_shards: int
    pending_inputs: int
    compute: str
    state: str
    faces: str


def preview(planned: Plan) -> Preview:
    """A plan in numbers; lists the inputs where that was not done yet.

    Raises:
        ManifestError: there is nothing to score.
    """
    frozen, options = planned.frozen, planned.job.options
    if frozen is None:
        return _new(planned)
    if options.updates:
        return _grown(planned, frozen)
    faces = planned.faces
    faces = str(choose_by_frozen(planned, frozen)) if faces == "auto" else faces
    pending = {*planned.pending}
    state = "an interrupted run, continued"
    if not pending and planned.finished:
        state = "a finished run: nothing is left to do"
    if options.retries:
        failed = retrying.failed_inputs(planned.job.output, options.retries_no_face)
        pending |= {*failed}
        state = f"a retry of {sum(failed.values()):,} failed inputs"
    left = sum(frozen.rows[index] for index in pending)
    shards = len(frozen.rows)
    return Preview(frozen.total, True, shards, len(pending), left, _computed(planned), state, faces)


def _new(planned: Plan) -> Preview:
    """A run of which nothing is there yet."""
    job = planned.job
    listed, exact = list[pa.Table](), True
    for part in job.source.preview(MAX_LISTED):
        listed.append(part)
        exact = exact and sum(part.num_rows for part in listed) <= MAX_LISTED
    shards = list(frozen_inputs.regroup(listed, job.options.resources.shard_rows))
    inputs = min(sum(shard.num_rows for shard in shards), MAX_LISTED)
    if not inputs:
        raise ManifestError("there is nothing to score: the input lists no file")
    faces = planned.faces
    faces = str(choose(planned, some(shards))) if faces == "auto" else faces
    count = len(shards)
    return Preview(inputs, exact, count, count, inputs, _computed(planned), "a new run", faces)


def _grown(planned: Plan, frozen: FrozenInputs) -> Preview:
    """What listing the source again would add to an earlier run."""
    rows = planned.job.options.resources.shard_rows
    growth, stale, new_shards = increment.preview(frozen, planned.job.source.preview(), rows)
    repeated = {*stale, *planned.pending}
    left = sum(frozen.rows[index] for index in repeated) + growth.added
    shards = len(frozen.rows) + new_shards
    state = f"update: {growth.added:,} new, {growth.changed:,} changed, {growth.deleted:,} deleted"
    return Preview(
        frozen.total + growth.added, True, shards, len(repeated) + new_shards, left,
        _computed(planned), state, planned.faces,
    )  # fmt: skip


def _computed(planned: Plan) -> str:
    is_open = "auto" in parsed(planned.job.options.network.compute)
    return planned.compute.words + (", by this machine" if is_open else "")
