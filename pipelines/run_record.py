"""run.json, written last of all: what a finished scoring run is, file by file."""

import collections
import json
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from model.bundle import Bundle
from model.errors import FacemillError
from pipelines import shards, storage, tables
from pipelines.claim import ScoreOptions, identity
from pipelines.fetching import read_ahead
from pipelines.shard_worker import ShardRecord

RUN_FILE = "run.json"
_READERS = 8  # shards read at once to describe what an earlier run committed


def write_run(
    options: ScoreOptions,
    bundle: Bundle,
    frozen: shards.FrozenInputs,
    records: Mapping[int, ShardRecord],
    seconds: float,
    confirm: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Check every shard against the frozen inputs and write run.json.

    Args:
        options: of the run.
        bundle: that scored.
        frozen: the inputs.
        records: shards that this run committed, as their workers described them; the others are
            described by reading them.
        seconds: that this run took.
        confirm: is called right before the record is written, and raises if it must not be: a
            driver that slept must not overwrite what its successor wrote.

    Raises:
        FacemillError: a shard has not as many rows as inputs.
    """

    def described(index: int) -> ShardRecord:
        return records.get(index) or ShardRecord.read(options.output, index)

    files, reasons = dict[str, dict[str, Any]](), collections.Counter[str]()
    scored = quarantined = 0
    for index, record in enumerate(read_ahead(described, range(len(frozen.rows)), _READERS)):
        found = record.scored + record.quarantined
        if found != frozen.rows[index]:
            raise FacemillError(
                f"shard {index} has {found} rows for {frozen.rows[index]} inputs: delete "
                f"{shards.shard_uri(storage.join(options.output, 'predictions'), index)} and run "
                "the same command again"
            )
        name = shards.shard_uri("", index).lstrip("/")
        files[f"predictions/{name}"] = _file(record.scored, record.predictions_sha256)
        files[f"quarantine/{name}"] = _file(record.quarantined, record.quarantine_sha256)
        reasons.update(json.loads(record.reasons))
        scored, quarantined = scored + record.scored, quarantined + record.quarantined
    run: dict[str, Any] = {
        "format": 2,
        "run_id": options.run_id,
        **identity(options, bundle),
        "bundle": bundle.name,
        "inputs": frozen.total,
        "scored": scored,
        "quarantined": quarantined,
        "quarantine_reasons": dict(sorted(reasons.items())),
        "seconds": round(seconds, 2),
        **_speed(records, time.time() - seconds),
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": {name: version(name) for name in ("keras", "tensorflow", "ray", "pillow")},
        "files": files,
    }
    confirm()
    tables.write_json(storage.join(options.output, RUN_FILE), run)
    return run


def _speed(records: Mapping[int, ShardRecord], clock: float) -> dict[str, float | None]:
    """Seconds from the start to the first shard's beginning, and images a second after that."""
    if not records:
        return {"start_up_s": None, "images_per_s": None}
    first = min(record.began for record in records.values())
    last = max(record.ended for record in records.values())
    images = sum(record.scored + record.quarantined for record in records.values())
    return {
        "start_up_s": round(first - clock, 2),
        "images_per_s": round(images / max(last - first, 1e-6), 1),
    }


def _file(rows: int, sha256: str) -> dict[str, Any]:
    return {"rows": rows, "sha256": sha256}
