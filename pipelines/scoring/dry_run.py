"""What a scoring job would do: `jobs.score --dry-run`. Lists, but starts and writes nothing."""

import dataclasses
import itertools
from collections.abc import Iterable

import pyarrow as pa

from model.bundle import Bundle
from model.errors import ManifestError
from pipelines import storage
from pipelines.manifests import manifest
from pipelines.manifests.sources import images, inventory
from pipelines.predictions import frozen_inputs, layout
from pipelines.scoring import increment
from pipelines.scoring.claim import ScoreOptions, require_own, resolved
from pipelines.storage import listing

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


def plan(options: ScoreOptions, bundle: Bundle) -> Plan:
    """Look at the output and, where nothing is frozen yet, at the input.

    Raises:
        UsageError: the output holds another run.
        ManifestError: there is nothing to score.
    """
    options = resolved(options)
    require_own(options, bundle, None)
    frozen = frozen_inputs.load_frozen(options.output)
    if frozen is None:
        inputs, exact = _count(options)
        if not inputs:
            raise ManifestError("there is nothing to score: the input lists no file")
        sizes = list(frozen_inputs.sizes(inputs, options.shard_rows))
        return Plan(
            inputs, exact, len(sizes), len(sizes), inputs, str(options.precision), "a new run"
        )
    done = frozen_inputs.committed(options.output)
    left = [rows for index, rows in enumerate(frozen.rows) if index not in done]
    state = "an interrupted run, continued"
    if not left and storage.exists(layout.path(options.output, layout.RUN)):
        state = "a finished run: nothing is left to do"
    if options.incremental:
        return _grown(options, frozen, done)
    total = len(frozen.rows)
    return Plan(frozen.total, True, total, len(left), sum(left), str(options.precision), state)


def _grown(options: ScoreOptions, frozen: frozen_inputs.FrozenInputs, done: set[int]) -> Plan:
    """What `--incremental` would add to an earlier run."""
    found, stale = increment.foresee(frozen, _parts(options))
    again = [rows for i, rows in enumerate(frozen.rows) if i in stale or i not in done]
    fresh = len(list(frozen_inputs.sizes(found.added, options.shard_rows)))
    return Plan(
        frozen.total + found.added,
        True,
        len(frozen.rows) + fresh,
        len(again) + fresh,
        sum(again) + found.added,
        str(options.precision),
        f"a grown source: {found.added:,} new, {found.changed:,} changed, {found.deleted:,} gone",
    )


def _parts(options: ScoreOptions) -> Iterable[pa.Table]:
    """The inputs as they are now, without Ray."""
    if inventory.is_inventory(options.source):
        return inventory.read_inventory(options.source)
    if options.kind != "images":
        return [manifest.read_manifest(options.source, ["uri"])]
    return images.list_entries({"root": [options.source], "descend": [True]})


def _count(options: ScoreOptions) -> tuple[int, bool]:
    """Inputs, and whether that is all of them."""
    if inventory.is_inventory(options.source):
        return sum(part.num_rows for part in inventory.read_inventory(options.source)), True
    if options.kind != "images":
        return manifest.read_manifest(options.source, ["uri"]).num_rows, True
    files = listing.list_files(options.source)
    count = sum(1 for _ in itertools.islice(files, MOST_LISTED))
    return count, next(files, None) is None
