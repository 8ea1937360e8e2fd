"""A store that answers 503, resets, stalls, cuts bodies short: nothing is lost, nothing is bad."""

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from model.bundle import Bundle
from pipelines import storage
from pipelines.bundles.opening import copy_bundle
from pipelines.predictions import frozen_inputs, layout
from pipelines.predictions.run_record import write_run
from pipelines.predictions.verification import verify
from pipelines.scoring.claim import ScoringJob, claim
from pipelines.scoring.placement import Placement
from pipelines.scoring.worker import ShardRecord, ShardScorer, with_retries
from tests.fault_proxy import FAULTS, faulty
from tests.runs import score_options, scoring_job
from tests.s3_server import S3Server

FUSED = Placement(False, False, 1, 1, 1, 0, "")


@pytest.fixture
def faces(bucket: str, faces_dir: Path) -> list[str]:
    """24 faces in the bucket, one of them cut short when it was put there."""
    uris = []
    for number, face in enumerate(sorted(faces_dir.glob("*.jpg"))[:24]):
        data = face.read_bytes()
        uris.append(f"{bucket}/faces/{number:02d}.jpg")
        storage.write_bytes(uris[-1], data[: len(data) // 2] if number == 5 else data)
    return uris


def _prepared(bucket: str, uris: list[str], bundle: Bundle) -> tuple[ScoringJob, int]:
    options = score_options(images=(f"{bucket}/faces",), output=f"{bucket}/out", patience_s=60,
        precision="float32",
    )  # fmt: skip
    job = claim(scoring_job(options, bundle))
    output = job.settings.output
    copy_bundle(bundle, layout.path(output, layout.BUNDLE))
    frozen = frozen_inputs.freeze(output, [pa.table({"uri": uris})], 8)
    return job, len(frozen.rows)


def _scored(job: ScoringJob, count: int) -> dict[int, ShardRecord]:
    columns = ShardScorer(job.settings, FUSED)({"shard": np.arange(count)})
    names = list(columns)
    rows = zip(*(columns[name].tolist() for name in names), strict=True)
    records = [ShardRecord(**dict(zip(names, row, strict=True))) for row in rows]
    return {record.shard: record for record in records}


def test_a_store_that_fails_every_third_request_loses_and_spoils_nothing(
    s3: S3Server,
    bucket: str,
    faces: list[str],
    untrained: Bundle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job, count = _prepared(bucket, faces, untrained)
    with faulty(s3.endpoint, every=3, stall_s=0.5) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        records = _scored(job, count)
        for fault in FAULTS:
            assert proxy.count[fault] > 0
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    frozen = frozen_inputs.load_frozen(job.settings.output)
    assert frozen is not None
    run = write_run(job.settings.output, job.lineage(), frozen, records, 1.0)
    assert (run["scored"], run["quarantine_reasons"]) == (23, {"decode: truncated": 1})
    assert verify(job.settings.output).problems == ()


def test_an_image_costs_one_get_and_no_head(
    s3: S3Server,
    bucket: str,
    faces: list[str],
    untrained: Bundle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job, count = _prepared(bucket, faces, untrained)
    with faulty(s3.endpoint, every=10**9) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        _scored(job, count)
        asked = proxy.requests
    images = {
        path: n for (method, path), n in asked.items() if method == "GET" and "/faces/" in path
    }
    assert len(images) == len(faces)
    assert set(images.values()) == {1}
    assert not [path for method, path in asked if method == "HEAD"]


def test_an_outage_is_sat_out(
    s3: S3Server, bucket: str, faces: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEMILL_RETRY_S", "1")
    with faulty(s3.endpoint, every=10**9) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        proxy.outage_until = time.monotonic() + 3
        data = with_retries(lambda: storage.read_bytes(faces[0]), patience_s=60)
        assert proxy.count["503"] > 3
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    assert data == storage.read_bytes(faces[0])


def test_patience_ends_and_denied_access_is_not_waited_for() -> None:
    calls: list[float] = []

    def fails() -> None:
        calls.append(time.monotonic())
        raise OSError("503")

    with pytest.raises(OSError, match="503"):
        with_retries(fails, patience_s=1.0)
    assert len(calls) > 1

    def denied() -> None:
        calls.append(time.monotonic())
        raise PermissionError("no")

    calls.clear()
    with pytest.raises(PermissionError):
        with_retries(denied, patience_s=60)
    assert len(calls) == 1
