"""A store that answers 503, resets, stalls, cuts bodies short: nothing is lost, nothing is bad."""

import errno
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from model.bundle import Bundle
from pipelines import storage
from pipelines.bundles.opening import copy_bundle
from pipelines.manifests.sources.images import list_entries
from pipelines.predictions import frozen_inputs, layout
from pipelines.predictions.run_record import write_run
from pipelines.predictions.verification import verify
from pipelines.scoring.placement import Placement
from pipelines.scoring.plan import Plan, claim
from pipelines.scoring.worker import ShardRecord, ShardScorer, with_retries
from pipelines.storage import tables
from tests.archives import parquet_of, tar_of, zip_of
from tests.robustness.fault_proxy import FAULTS, faulty
from tests.runs import score_options, scoring_job
from tests.s3_server import S3Server

FUSED = Placement(False, 1, 1, "")


@pytest.fixture
def pictures(faces_dir: Path) -> list[bytes]:
    """24 faces, one of them cut short."""
    read = [face.read_bytes() for face in sorted(faces_dir.glob("*.jpg"))[:24]]
    read[5] = read[5][: len(read[5]) // 2]
    return read


@pytest.fixture
def faces(bucket: str, pictures: list[bytes]) -> str:
    """They lie in a bucket of S3, each a file."""
    return _put(bucket, "folder", pictures)


def _put(bucket: str, kind: str, pictures: list[bytes]) -> str:
    """Put pictures there; returns what to give as images."""
    members = {f"{number:02d}.jpg": data for number, data in enumerate(pictures)}
    if kind in ("folder", "list"):
        for name, data in members.items():
            storage.write_bytes(f"{bucket}/faces/{name}", data)
        if kind == "folder":
            return f"{bucket}/faces"
        lines = "\n".join(f"{bucket}/faces/{name}" for name in members)
        storage.write_bytes(f"{bucket}/list.txt", lines.encode())
        return f"{bucket}/list.txt"
    packed = {
        "zip": lambda: zip_of(members), "tar": lambda: tar_of(members, "w"),
        "tar.gz": lambda: tar_of(members), "parquet": lambda: parquet_of(pictures),
    }  # fmt: skip
    storage.write_bytes(f"{bucket}/faces.{kind}", packed[kind]())
    return f"{bucket}/faces.{kind}"


def _prepared(images: str, output: str, bundle: Bundle) -> tuple[Plan, int]:
    options = score_options(images=(images,), output=output, store_timeout_s=60, compute="float32")
    job = claim(scoring_job(options, bundle))
    output = job.settings.output
    copy_bundle(bundle, layout.path(output, layout.BUNDLE))
    listed = list_entries({"root": [images], "descend": [True]})
    frozen = frozen_inputs.freeze(output, listed, 8)
    return job, len(frozen.rows)


def _scored(job: Plan, count: int) -> dict[int, ShardRecord]:
    columns = ShardScorer(job.settings, FUSED)({"shard": np.arange(count)})
    names = list(columns)
    rows = zip(*(columns[name].tolist() for name in names), strict=True)
    records = [ShardRecord(**dict(zip(names, row, strict=True))) for row in rows]
    return {record.shard: record for record in records}


def _finished(job: Plan, records: dict[int, ShardRecord]) -> tuple[dict[str, Any], Any]:
    """The record of a run, and its rows."""
    output = job.settings.output
    frozen = frozen_inputs.load_frozen(output)
    assert frozen is not None
    run = write_run(output, job.lineage(), frozen, records, 1.0)
    assert verify(output).problems == ()
    files = tables.list_parquet(layout.path(output, layout.PREDICTIONS))
    rows: Any = pa.concat_tables([tables.read_table(file) for file in files]).to_pandas()
    return run, rows.sort_values("uri", ignore_index=True)


@pytest.mark.parametrize(
    ("store", "kind"),
    [
        *((store, "folder") for store in ("bucket", "gs_bucket", "az_container")),
        *(
            pytest.param(store, kind, marks=pytest.mark.slow)
            for store, kind in (
                *(("bucket", kind) for kind in ("list", "zip", "tar", "tar.gz", "parquet")),
                ("gs_bucket", "parquet"),
                ("az_container", "zip"),
            )
        ),
    ],
)
def test_a_store_that_fails_every_third_request_loses_and_spoils_nothing(
    store: str,
    kind: str,
    pictures: list[bytes],
    untrained: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    bucket = request.getfixturevalue(store)
    images = _put(bucket, kind, pictures)
    calm, count = _prepared(images, f"{bucket}/calm", untrained)
    _, wanted = _finished(calm, _scored(calm, count))
    job, count = _prepared(images, f"{bucket}/out", untrained)
    variable = {
        "bucket": "AWS_ENDPOINT_URL", "gs_bucket": "STORAGE_EMULATOR_HOST",
        "az_container": "AZURE_STORAGE_ENDPOINT",
    }[store]  # fmt: skip
    address = os.environ[variable]
    upstream = "/".join(address.split("/")[:3])
    with faulty(upstream, 3, 0.5, keeps_host=store != "gs_bucket") as proxy:
        monkeypatch.setenv(variable, address.replace(upstream, proxy.endpoint))
        records = _scored(job, count)
        for fault in FAULTS:
            assert proxy.count[fault] > 0
    monkeypatch.setenv(variable, address)
    run, rows = _finished(job, records)
    assert (run["scored"], run["quarantine_reasons"]) == (23, {"decode: truncated": 1})
    assert len(wanted) == 23
    pd.testing.assert_frame_equal(rows, wanted)


def test_an_image_costs_one_get_and_no_head(
    s3: S3Server,
    bucket: str,
    faces: str,
    untrained: Bundle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job, count = _prepared(faces, f"{bucket}/out", untrained)
    with faulty(s3.endpoint, every=10**9) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        _scored(job, count)
        asked = proxy.requests
    images = {
        path: n for (method, path), n in asked.items() if method == "GET" and "/faces/" in path
    }
    assert len(images) == 24
    assert set(images.values()) == {1}
    assert not [path for method, path in asked if method == "HEAD"]


def test_an_outage_is_sat_out(s3: S3Server, faces: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEMILL_RETRY_S", "1")
    with faulty(s3.endpoint, every=10**9) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        proxy.outage_until = time.monotonic() + 3
        data = with_retries(lambda: storage.read_bytes(f"{faces}/00.jpg"), timeout_s=60)
        assert proxy.count["503"] > 3
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    assert data == storage.read_bytes(f"{faces}/00.jpg")


def test_patience_ends_and_denied_access_is_not_waited_for() -> None:
    calls: list[float] = []

    def fails() -> None:
        calls.append(time.monotonic())
        raise OSError("503")

    with pytest.raises(OSError, match="503"):
        with_retries(fails, timeout_s=1.0)
    assert len(calls) > 1

    def denied() -> None:
        calls.append(time.monotonic())
        raise PermissionError("no")

    calls.clear()
    with pytest.raises(PermissionError):
        with_retries(denied, timeout_s=60)
    assert len(calls) == 1

    def full() -> None:
        calls.append(time.monotonic())
        raise OSError(errno.ENOSPC, "No space left on device")

    calls.clear()
    with pytest.raises(OSError, match="No space"):
        with_retries(full, timeout_s=60)
    assert len(calls) == 1
