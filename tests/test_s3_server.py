"""The suite's S3 server is a real one for each of the three clients the project uses."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import obstore
import pyarrow.fs
import pytest
import s3fs
from obstore.store import S3Store

from tests.s3_server import STATE_PREFIX, S3Server, ServerDidNotStartError, answers, serve_s3
from tests.swift_configuration import LISTING_PAGE, PROXY_CONF


def arrow_files(server: S3Server) -> pyarrow.fs.S3FileSystem:
    return pyarrow.fs.S3FileSystem(
        endpoint_override=server.endpoint,
        access_key=server.access_key,
        secret_key=server.secret_key,
    )


def s3fs_files(server: S3Server) -> s3fs.S3FileSystem:
    return s3fs.S3FileSystem(
        endpoint_url=server.endpoint,
        key=server.access_key,
        secret=server.secret_key,
        skip_instance_cache=True,
    )


def object_store(server: S3Server, bucket: str) -> S3Store:
    return S3Store(
        bucket.removeprefix("s3://"),
        endpoint=server.endpoint,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
        region=server.region,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def test_the_environment_alone_reaches_the_bucket(bucket: str) -> None:
    with fsspec.open(f"{bucket}/x", "wb") as stream:
        stream.write(b"1")
    files, path = pyarrow.fs.FileSystem.from_uri(f"{bucket}/x")
    assert files.open_input_stream(path).read() == b"1"
    store = S3Store.from_url(bucket)
    assert bytes(obstore.get(store, "x").bytes()) == b"1"


def test_listings_continue_after_a_page(s3: S3Server, bucket: str) -> None:
    store = object_store(s3, bucket)
    count = LISTING_PAGE + 5
    for number in range(count):
        obstore.put(store, f"{number:05d}", b"")
    assert len(obstore.list(store).collect()) == count
    assert len(s3fs_files(s3).find(bucket)) == count
    listed = arrow_files(s3).get_file_info(pyarrow.fs.FileSelector(bucket.removeprefix("s3://")))
    assert len(listed) == count


def test_wrong_secret_is_denied_by_every_client(s3: S3Server, bucket: str) -> None:
    wrong, root = dataclasses.replace(s3, secret_key="wrong"), bucket.removeprefix("s3://")
    with pytest.raises(OSError, match="SIGNATURE_DOES_NOT_MATCH"):
        arrow_files(wrong).get_file_info(pyarrow.fs.FileSelector(root))
    with pytest.raises(PermissionError):
        s3fs_files(wrong).ls(root)
    with pytest.raises(obstore.exceptions.BaseError, match="403"):
        obstore.list(object_store(wrong, bucket)).collect()


def test_a_killed_test_process_leaves_nothing_behind() -> None:
    program = (
        "import signal; from tests.s3_server import *\n"
        "server = S3Server.at_free_port()\n"
        "with serve_s3(server): print(server.endpoint, flush=True); signal.pause()"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        port = int(process.stdout.readline().rpartition(":")[2])
    assert answers(port)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 60
    while answers(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not answers(port)
    with serve_s3(S3Server.at_free_port()):  # the next start sweeps
        assert state_folders(process.pid) == []


def test_server_that_cannot_start_shows_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tests.swift_configuration.PROXY_CONF", PROXY_CONF.replace("#tempauth", "#nothing")
    )
    complaint = r"(?s)Swift did not start: \['proxy'\] ended.*--- proxy\.log.*nothing"
    with pytest.raises(ServerDidNotStartError, match=complaint), serve_s3(S3Server.at_free_port()):
        pass


def state_folders(owner: int) -> list[Path]:
    return list(Path("/dev/shm").glob(f"{STATE_PREFIX}{owner}-*"))


def test_state_folder_is_removed_even_after_an_error() -> None:
    before = state_folders(os.getpid())
    with pytest.raises(OSError, match="mine"), serve_s3(S3Server.at_free_port()):
        assert len(state_folders(os.getpid())) == len(before) + 1
        raise OSError("mine")
    assert state_folders(os.getpid()) == before
