"""A Ray that cannot start, and clusters that are none: a sentence each, in time."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from model.errors import ResourcesError, UsageError
from pipelines.cluster.starting import ended_in_time, require_reachable
from tests.s3_server import free_ports

_START = """
from pipelines.cluster.session import quiet_libraries, start_ray
quiet_libraries()
start_ray()
import ray
print("works", ray.get(ray.remote(lambda: 7).remote()))
"""


def _started(
    environment: Mapping[str, str | None], limit: str = "true"
) -> "subprocess.CompletedProcess[str]":
    """What a process says that starts Ray, after a command of the shell, in that environment."""
    there: Mapping[str, str | None] = {**os.environ, "RAY_ADDRESS": None, **environment}
    command = ["bash", "-c", f'{limit}; exec "$0" -c "$1"', sys.executable, _START]
    known = {name: value for name, value in there.items() if value is not None}
    return subprocess.run(command, env=known, capture_output=True, text=True, timeout=200)


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:8265", "https://ray.example", "nonsense", "a b:1", "host:99999", ":6379",
     "127.0.0.1:{port}", "ray://127.0.0.1:{port}", "no.such.host.invalid:6379"],
)  # fmt: skip
def test_an_address_where_no_cluster_is_ends_in_a_sentence(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEMILL_START_S", "1")
    address = address.format(port=free_ports(1)[0])
    with pytest.raises(UsageError) as told:
        require_reachable(address)
    assert address in str(told.value)
    assert "HOST:6379" in str(told.value)


def test_what_answers_and_is_no_cluster_is_given_up() -> None:
    port = free_ports(1)[0]
    serve = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with subprocess.Popen(serve, stdout=-3, stderr=-3) as server:
        time.sleep(1)
        done = _started({"RAY_ADDRESS": f"127.0.0.1:{port}", "FACEMILL_START_S": "5"})
        server.kill()
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("failed: Ray cannot be started: it was not ready within 5 s")
    assert "Failed to connect to GCS" in done.stderr, "what Ray said is not held back for good"
    assert "Traceback" not in done.stderr


def test_what_ray_raises_is_a_sentence() -> None:
    with pytest.raises(ResourcesError) as told, ended_in_time(60):
        raise RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.9.0")
    assert "Version mismatch: The cluster was started with: Ray: 2.9.0" in str(told.value)
    with pytest.raises(UsageError), ended_in_time(60):
        raise UsageError("ours stays as it is")


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["ulimit -f 1000", "ulimit -v 4000000"])
def test_a_limit_that_kills_ray_is_named(limit: str) -> None:
    done = _started({"FACEMILL_START_S": "60"}, limit)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "Ray cannot be started" in last
    assert limit.rpartition(" ")[0] in last


@pytest.mark.slow
@pytest.mark.parametrize("odd", ["long", "missing", "unwritable", "warnings and no home"])
def test_an_odd_environment_works(odd: str, tmp_path: Path) -> None:
    long = tmp_path / ("a" * 60)
    long.mkdir()
    environment: dict[str, dict[str, str | None]] = {
        "long": {"TMPDIR": str(long)},
        "missing": {"TMPDIR": str(tmp_path / "none")},
        "unwritable": {"TMPDIR": "/proc"},
        "warnings and no home": {"PYTHONWARNINGS": "error", "HOME": None},
    }
    done = _started(environment[odd])
    assert done.stdout == "works 7\n", done.stderr
    assert ("Ray's temporary files are in " in done.stderr) == ("home" not in odd)


def test_python_without_docstrings_is_refused() -> None:
    command = [sys.executable, "-OO", "-m", "jobs.score", "--images", "x", "--output", "y"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: python -OO")
