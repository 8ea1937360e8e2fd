"""run.json, written last of all: what a finished scoring run is, file by file."""

import collections
import dataclasses
import hashlib
import io
import json
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from model.errors import FacemillError
from pipelines import storage
from pipelines.images.batches import NO_FACE, NO_IMAGE_NAME, NOT_LISTED
from pipelines.predictions import frozen_inputs, layout
from pipelines.storage import tables
from pipelines.storage.fetching import read_ahead

# Reasons of the quarantine, as `reasons_of` writes them, that are no failures: images of nobody,
# files beside images.
WITHOUT_A_FACE, OTHER_FILE = f"detect: {NO_FACE}", f"list: {NO_IMAGE_NAME}"
LOST_PLACE = f"list: {NOT_LISTED}"
NO_FAILURES = (WITHOUT_A_FACE, OTHER_FILE)
RUN_FORMAT = 2  # of run.json
_NOTE_LEFT_OUT = "facemill.faces_skipped"
_READERS = 8  # shards read at once to describe what an earlier run committed


@dataclasses.dataclass(frozen=True)
class ShardRecord:
    """What a committed shard is: rows and SHA-256 of its two files, and why rows were rejected.

    `scored` counts inputs; `rows` are those of predictions, one a face where faces were detected;
    `skipped` are faces that an option left out. `began` and `ended` are the worker's clock,
    seconds since 1970; 0 where an earlier run did it. `device` is where the network ran, CPU or
    GPU; '' likewise. `unable` is why its worker, on Ray's `node`, could not score it and nothing is
    committed; '' where it could.
    """

    shard: int
    scored: int
    quarantined: int
    predictions_sha256: str
    quarantine_sha256: str
    reasons: str  # JSON: {"stage: error": rows}
    began: float = 0.0
    ended: float = 0.0
    device: str = ""
    rows: int = 0
    skipped: int = 0
    unable: str = ""
    node: str = ""

    @classmethod
    def read(cls, output: str, index: int) -> "ShardRecord":
        """Describe a shard that was committed earlier, by reading its files.

        Raises:
            FileNotFoundError: one of them is missing.
            StorageError: one of them is damaged.
        """
        data = {
            k: storage.read_bytes(layout.shard(output, k, index))
            for k in ("predictions", "quarantine")
        }
        sums = {kind: hashlib.sha256(content).hexdigest() for kind, content in data.items()}
        bad_uri, good_uri = (layout.shard(output, k, index) for k in ("quarantine", "predictions"))
        bad = tables.decode_table(bad_uri, data["quarantine"], ["stage", "error"])
        with tables.damage_told(good_uri):
            file = pq.ParquetFile(io.BytesIO(data["predictions"]))
            rows = file.metadata.num_rows
            scored = rows
            if "face" in file.schema_arrow.names:  # of an image's faces the first stands for it
                faces: Any = file.read(["face"])["face"]
                scored = int((faces.fill_null(0).to_numpy() == 0).sum())
        notes: Mapping[bytes, bytes] = file.metadata.metadata or {}
        return cls(
            index,
            scored,
            bad.num_rows,
            sums["predictions"],
            sums["quarantine"],
            reasons_of(bad),
            rows=rows,
            skipped=int(notes.get(_NOTE_LEFT_OUT.encode(), 0)),
        )


def notes_of(skipped: int) -> dict[str, str]:
    """What a predictions file says beside its rows, so that `ShardRecord.read` finds it there."""
    return {_NOTE_LEFT_OUT: str(skipped)}


def reasons_of(quarantine: pa.Table) -> str:
    """JSON {"stage: error": rows} of a quarantine table."""
    rows = quarantine.select(["stage", "error"]).to_pylist()
    return json.dumps(collections.Counter(f"{row['stage']}: {row['error']}" for row in rows))


def write_run(
    output: str,
    job: Mapping[str, Any],
    frozen: frozen_inputs.FrozenInputs,
    records: Mapping[int, ShardRecord],
    seconds: float,
    confirm: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Check every shard against the frozen inputs and write run.json.

    Args:
        output: of the run.
        job: what job.json says of it: the run's id, what was scored with what.
        frozen: the inputs.
        records: shards that this run committed, as their workers described them; the others are
            described by reading them.
        seconds: that this run took.
        confirm: is called right before the record is written, and raises if it must not be: a
            driver that slept must not overwrite what its successor wrote.

    Raises:
        FacemillError: a shard has not as many rows as inputs.
    """
    files, totals = _added_up(output, frozen, records)
    run: dict[str, Any] = {
        "format": RUN_FORMAT,
        **job,
        "inputs": frozen.total,
        **({"excluded": frozen.excluded} if frozen.excluded else {}),
        **totals,
        "seconds": round(seconds, 2),
        **_speed(records, time.time() - seconds),
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": {name: version(name) for name in ("keras", "tensorflow", "ray", "pillow")},
        "files": files,
    }
    confirm()
    tables.write_json(layout.path(output, layout.RUN), run)
    return run


def _added_up(
    output: str, frozen: frozen_inputs.FrozenInputs, records: Mapping[int, ShardRecord]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Rows and SHA-256 of each file, and the counts of all of them, checked shard by shard."""

    def described(index: int) -> ShardRecord:
        return records.get(index) or ShardRecord.read(output, index)

    files, reasons = dict[str, dict[str, Any]](), collections.Counter[str]()
    scored = rows = quarantined = skipped = 0
    for index, record in enumerate(read_ahead(described, range(len(frozen.rows)), _READERS)):
        done = record.scored + record.quarantined
        if done != frozen.rows[index]:
            raise FacemillError(
                f"shard {index} has rows for {done} of {frozen.rows[index]} inputs: delete "
                f"{layout.shard(output, layout.PREDICTIONS, index)} and run "
                "the same command again"
            )
        sums = record.predictions_sha256, record.quarantine_sha256
        counts = record.rows, record.quarantined
        for kind, count, sha256 in zip(layout.ROWS, counts, sums, strict=True):
            files[layout.shard_name(kind, index)] = {"rows": count, "sha256": sha256}
        reasons.update(json.loads(record.reasons))
        scored, rows = scored + record.scored, rows + record.rows
        quarantined, skipped = quarantined + record.quarantined, skipped + record.skipped
    totals = {
        "scored": scored,
        "rows": rows,
        "faces_skipped": skipped,
        "quarantined": quarantined,
        "quarantine_reasons": dict(sorted(reasons.items())),
    }
    return files, totals


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
