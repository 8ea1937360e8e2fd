"""Scores again what failed in an earlier run of an output: the shards that hold such inputs, whole.

    output/retrying.json   there until the retried run is finished: its shards, and whether their
                           files are gone already

A driver that dies meanwhile leaves a list that the next one goes on with, asked for or not.
"""

from collections.abc import Mapping
from typing import Any

from pipelines import storage
from pipelines.images.batches import NO_FACE
from pipelines.predictions import frozen_inputs, layout
from pipelines.predictions.run_record import NO_FAILURES
from pipelines.storage import tables
from pipelines.storage.fetching import read_ahead
from pipelines.telemetry.log import note

_READERS = 8  # files of quarantine that are read at once


def is_unfinished(output: str) -> bool:
    """Whether a driver died while it put shards back."""
    return not _record(output).get("put_back", True)


def put_back(output: str, no_face: bool) -> None:
    """Make the shards with failed inputs pending again, unless an earlier retry is under way.

    Args:
        output: of the scoring job.
        no_face: images without a face count as failed.
    """
    record: Mapping[str, Any] = _record(output)
    if not record or (storage.exists(layout.path(output, layout.RUN)) and record["put_back"]):
        failed = failed_inputs(output, no_face)
        if not failed:
            note("retry: no input has failed")
            return
        count = sum(failed.values())
        note(f"retry: {count:,} failed inputs in {len(failed):,} files, which are scored again")
        record = {"shards": sorted(failed), "put_back": False}
        tables.write_json(_marker(output), record)
    if record["put_back"]:
        return
    # First of all: what says "finished" must never outlive a file that it counts.
    for marker in (layout.RUN, layout.DATASET_RECORD):
        storage.delete(layout.path(output, marker))
    for index in record["shards"]:
        storage.delete(layout.shard(output, layout.PREDICTIONS, index))
    tables.write_json(_marker(output), {**record, "put_back": True})


def finish(output: str) -> None:
    """Forget a retry: its run is finished."""
    storage.delete(_marker(output))


def failed_inputs(output: str, no_face: bool) -> dict[int, int]:
    """How many inputs have failed in each committed shard that has any."""
    no_failures = {reason for reason in NO_FAILURES if not (no_face and reason.endswith(NO_FACE))}

    def count(index: int) -> tuple[int, int]:
        uri = layout.shard(output, layout.QUARANTINE, index)
        rows: list[Any] = tables.read_table(uri, ["stage", "error"]).to_pylist()
        reasons = [f"{row['stage']}: {row['error']}" for row in rows]
        return index, sum(reason not in no_failures for reason in reasons)

    shards = sorted(frozen_inputs.committed(output))
    return {index: failed for index, failed in read_ahead(count, shards, _READERS) if failed}


def _record(output: str) -> Mapping[str, Any]:
    try:
        return tables.read_json(_marker(output))
    except FileNotFoundError:
        return {}


def _marker(output: str) -> str:
    return layout.path(output, layout.RETRYING)
