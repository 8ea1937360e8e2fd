"""One driver at a time."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from model.errors import FacemillError, UsageError
from pipelines import storage
from pipelines.storage.lease import Holder, Lease, process_start, this_host
from tests.failing_disk import Rule, on_failing_disk


def _held_by(output: str, holder: Holder) -> None:
    text = json.dumps(dataclasses.asdict(holder)).encode()
    storage.write_bytes(f"{output}/lease.json", text)


def _elsewhere(seconds_ago: float) -> Holder:
    return Holder("other", "otherhost/boot", 7, "1", time.time() - seconds_ago)


def test_a_second_driver_is_told_who_holds_the_output(tmp_path: Path) -> None:
    with Lease(str(tmp_path)):
        with pytest.raises(UsageError) as error, Lease(str(tmp_path)):
            pass
        assert str(error.value).startswith(
            f"`output` {tmp_path} is being written by process {os.getpid()} on "
            f"{this_host().partition('/')[0]} (last seen 0 s ago): wait for it or stop it; "
        )
    with Lease(str(tmp_path)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_dead_driver_of_this_host_is_followed_at_once(tmp_path: Path) -> None:
    code = "import os; print(os.getpid())"
    gone = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout)
    _held_by(str(tmp_path), Holder("dead", this_host(), gone, "12345", time.time()))
    with Lease(str(tmp_path)) as lease:
        assert lease.holder().owner == lease.owner  # type: ignore[union-attr]


def test_a_reused_process_id_is_not_the_driver(tmp_path: Path) -> None:
    _held_by(str(tmp_path), Holder("dead", this_host(), os.getpid(), "1", time.time()))
    assert process_start(os.getpid()) not in ("", "1")
    with Lease(str(tmp_path)):
        pass


def test_a_driver_elsewhere_is_followed_only_after_its_heartbeat_stopped(tmp_path: Path) -> None:
    _held_by(str(tmp_path), _elsewhere(seconds_ago=50))
    with pytest.raises(UsageError, match=r"process 7 on otherhost \(last seen 50 s ago\)"):
        Lease(str(tmp_path)).__enter__()
    _held_by(str(tmp_path), _elsewhere(seconds_ago=61))
    with Lease(str(tmp_path)):
        pass


def test_the_heartbeat_beats_and_notices_a_driver_that_took_over(tmp_path: Path) -> None:
    with Lease(str(tmp_path), expires_s=0.2) as lease:
        first = lease.holder()
        deadline = time.monotonic() + 60
        while lease.holder() == first and time.monotonic() < deadline:
            time.sleep(0.02)
        assert lease.holder() != first
        lease.check()
        _held_by(str(tmp_path), _elsewhere(seconds_ago=0))
        while not lease.lost and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(FacemillError, match=r"^another driver has taken over `output`"):
            lease.check()
    assert (tmp_path / "lease.json").exists(), "what another holds is not ours to remove"


def test_a_driver_that_slept_does_not_take_back_a_lease_that_its_successor_gave_back(
    tmp_path: Path,
) -> None:
    with Lease(str(tmp_path), expires_s=60) as lease:
        lease.confirm()
        (tmp_path / "lease.json").unlink()  # taken over, and given back at that driver's end
        with pytest.raises(FacemillError, match=str(tmp_path)):
            lease.confirm()
    with Lease(str(tmp_path), expires_s=0.2) as lease:
        (tmp_path / "lease.json").unlink()
        deadline = time.monotonic() + 60
        while not lease.lost and time.monotonic() < deadline:
            time.sleep(0.02)
        assert lease.lost
        assert not (tmp_path / "lease.json").exists()


def test_a_driver_whose_own_file_was_already_there_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = storage.create_bytes

    def answer_was_lost(uri: str, data: bytes) -> bool:
        assert real(uri, data)
        return False  # the client asked again and met what it had written

    monkeypatch.setattr(storage, "create_bytes", answer_was_lost)
    with Lease(str(tmp_path)) as lease:
        lease.confirm()


def test_a_lease_in_a_bucket_is_held_by_one(bucket: str) -> None:
    with Lease(f"{bucket}/out"), pytest.raises(UsageError, match=f"{bucket}/out"):
        Lease(f"{bucket}/out").__enter__()
    assert not storage.exists(f"{bucket}/out/lease.json")


def test_a_file_is_created_only_once(tmp_path: Path, bucket: str) -> None:
    for folder in (str(tmp_path), bucket):
        assert storage.create_bytes(f"{folder}/one", b"a")
        assert not storage.create_bytes(f"{folder}/one", b"b")
        assert storage.read_bytes(f"{folder}/one") == b"a"


_WITHOUT_LINKS = [
    [("link", "EPERM", "")],  # exFAT
    [("link", "ENOTSUP", ""), ("fsync", "EINVAL", "")],  # SMB, gcsfuse
    [("link", "ENOSYS", ""), ("replace", "EPERM", "")],  # sshfs
    [("link", "EMLINK", ""), ("replace", "EINVAL", ""), ("fsync", "ENOTSUP", "")],
]
_HOLD = """
import sys, time
from pipelines.storage.lease import Lease
with Lease(sys.argv[1], expires_s=1) as lease:
    time.sleep(1)  # some heartbeats, which replace the file
    lease.confirm()
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("rules", _WITHOUT_LINKS)
def test_a_disk_without_hard_links_has_one_driver_at_a_time_whoever_is_killed(
    rules: list[Rule], tmp_path: Path
) -> None:
    output = tmp_path / "output"
    output.mkdir()
    hold = [sys.executable, "-c", _HOLD, str(output)]
    there = on_failing_disk(tmp_path, *rules)
    with subprocess.Popen(hold, env=there, stdin=-1, stdout=-1, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        second = subprocess.run(hold, env=there, input="", capture_output=True, text=True)
        assert f"UsageError: `output` {output} is being written by process {first.pid} on" in (
            second.stderr
        )
        first.kill()
    third = subprocess.run(hold, env=there, input="", capture_output=True, text=True)
    assert third.stdout == "held\n", third.stderr
    assert not (output / "lease.json").exists()


def test_a_driver_that_was_killed_amid_its_first_write_is_followed(tmp_path: Path) -> None:
    (tmp_path / "lease.json").write_bytes(b'{"owner": "')
    with Lease(str(tmp_path)) as lease:
        lease.confirm()


def test_half_a_lease_that_becomes_whole_is_held(tmp_path: Path) -> None:
    (tmp_path / "lease.json").write_bytes(b"")
    timer = threading.Timer(0.1, lambda: _held_by(str(tmp_path), _elsewhere(seconds_ago=0)))
    timer.start()
    with pytest.raises(UsageError), Lease(str(tmp_path)):
        pass
    timer.join()


@pytest.mark.parametrize("rules", _WITHOUT_LINKS)
def test_a_file_is_created_only_once_and_replaced_on_a_disk_without_hard_links(
    rules: list[Rule], tmp_path: Path
) -> None:
    code = """
import sys
import threading
from pipelines import storage
uri = sys.argv[1] + "/a/one"
storage.write_bytes(sys.argv[1] + "/a/two", b"")
print(storage.create_bytes(uri, b"a"), storage.create_bytes(uri, b"b"), storage.read_bytes(uri))
storage.write_bytes(uri, b"c")
print(storage.read_bytes(uri))
"""
    there = on_failing_disk(tmp_path, *rules)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=there, capture_output=True, text=True
    )
    assert done.stdout == "True False b'a'\nb'c'\n", done.stderr
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"one", "two"}


def test_a_write_that_fails_for_another_reason_says_so(tmp_path: Path) -> None:
    code = "import sys; from pipelines import storage; storage.create_bytes(sys.argv[1], b'a')"
    there = on_failing_disk(tmp_path, ("link", "EPERM", ""), ("fsync", "EIO", "one"))
    (tmp_path / "a").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a" / "one")],
        env=there, capture_output=True, text=True,
    )  # fmt: skip
    assert "OSError: [Errno 5]" in done.stderr
    assert list((tmp_path / "a").iterdir()) == []
