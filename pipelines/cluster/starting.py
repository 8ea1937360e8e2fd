"""What can keep Ray from starting or from joining a cluster, told in a sentence and in time.

Ray 2.60 tries to reach a cluster that is gone for 14 minutes, waits half a minute for a process of
its own that has died, and for ever where that process may not have its memory.
"""

import contextlib
import os
import re
import resource
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from pathlib import Path

from model.errors import FacemillError, ResourcesError, UsageError
from pipelines.cluster.errors import reason_of
from pipelines.environment import seconds
from pipelines.telemetry.log import note

JOIN_S, START_S = 18.0, 90.0  # they take 3 s, and a start 30 s where ten others have the cores
_CONNECT_S = 9.0  # a cluster's head may just be starting
_CLIENT_PORT = "10001"
_ADDRESS = re.compile(r"(?P<scheme>ray://)?(?P<host>[\w.-]+|\[[\da-fA-F:]+\])(:(?P<port>\d{1,5}))?")
# A socket's path has at most 107 bytes. This is what Ray puts below the folder for temporary files.
_MAX_TEMP_BYTES = 107 - len("/ray/session_2026-12-01_04-08-33_630498_1234567/sockets/plasma_store")
_OTHER_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")
_STORE_SHARE, _PROCESS_BYTES = 0.3, 4 << 30  # of memory, for objects; for code and threads
_PROCESSES = ("gcs_server", "raylet")
_LIMITS = {  # what `ulimit` calls them, in kB or pieces, and what is plenty
    "ulimit -v": (resource.RLIMIT_AS, 1024, 64 << 30),
    "ulimit -d": (resource.RLIMIT_DATA, 1024, 64 << 30),
    "ulimit -f": (resource.RLIMIT_FSIZE, 1024, 64 << 30),
    "ulimit -u": (resource.RLIMIT_NPROC, 1, 4096),
    "ulimit -n": (resource.RLIMIT_NOFILE, 1, 1024),
}


def require_reachable(address: str) -> None:
    """Ask whether something answers where RAY_ADDRESS says.

    Raises:
        UsageError: it is no address of a cluster, or nothing listens there.
    """
    if address in ("auto", "local"):
        return
    advice = "set it to HOST:6379 of a cluster's head, or unset it to work on this machine alone"
    if address.startswith(("http://", "https://")):
        raise UsageError(
            f"RAY_ADDRESS={address} is the address of a dashboard, which takes jobs by `ray job "
            f"submit --address {address} -- python -m …`: {advice}"
        )
    match = _ADDRESS.fullmatch(address)
    port = match and (match["port"] or (match["scheme"] and _CLIENT_PORT))
    if not match or not port or not 0 < int(port) < 1 << 16:
        raise UsageError(f"RAY_ADDRESS={address!r} is no address of a Ray cluster: {advice}")
    deadline = time.monotonic() + min(_CONNECT_S, seconds("FACEMILL_START_S", _CONNECT_S))
    while True:
        try:
            with socket.create_connection((match["host"].strip("[]"), int(port)), timeout=5):
                return
        except OSError as error:
            if time.monotonic() + 1 > deadline:
                raise UsageError(
                    f"no Ray cluster answers at RAY_ADDRESS={address} ({reason_of(error)}): is it "
                    f"up? {advice[0].upper()}{advice[1:]}"
                ) from None
            time.sleep(1)


def require_address_space() -> None:
    """Refuse a limit of address space under which Ray starts and none of its workers ever does.

    Raises:
        UsageError: each process maps the object store, and there is no room for it.
    """
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    store = int(_STORE_SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    needed = store + _PROCESS_BYTES
    if limit != resource.RLIM_INFINITY and limit < needed:
        raise UsageError(
            f"Ray cannot be started: ulimit -v is {limit >> 10:,} kB, and on this machine its "
            f"processes take {needed >> 10:,} kB of address space each: raise it (ulimit -v "
            "unlimited)"
        )


def other_temp_dir() -> str | None:
    """Where Ray's files are to lie, if the usual folder cannot hold its sockets; else None.

    Raises:
        ResourcesError: no folder can.
    """
    usual = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or tempfile.gettempdir()
    why = _why_not_there(usual)
    if why is None:
        return None
    other = next((one for one in _OTHER_FOLDERS if _why_not_there(one) is None), None)
    if other is None:
        raise ResourcesError(
            f"Ray cannot be started: its folder for temporary files, {usual}, {why}, and neither "
            f"do {', '.join(_OTHER_FOLDERS)}: set TMPDIR to another one"
        )
    note(f"note: Ray's temporary files are in {other}/ray, as TMPDIR {usual} {why}")
    return f"{other}/ray"


def _why_not_there(folder: str) -> str | None:
    """Why Ray's files cannot lie in a folder, or None."""
    if len(os.fsencode(folder)) > _MAX_TEMP_BYTES:
        return f"has more than {_MAX_TEMP_BYTES} bytes, too many for the path of a socket"
    if not os.path.isdir(folder):
        return "is not there"
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        return f"cannot be written ({error.strerror})"
    return None


@contextlib.contextmanager
def ended_in_time(limit_s: float) -> Generator[None]:
    """Turn whatever Ray raises at its start into a sentence, and end it where it does not end.

    While Ray waits in C++ nothing can be raised in this thread, so the process itself is ended, by
    another thread, with exit code 1 and what was said until then.

    Args:
        limit_s: seconds, unless FACEMILL_START_S says otherwise.

    Raises:
        ResourcesError: Ray raised something.
    """
    limit_s = seconds("FACEMILL_START_S", limit_s)
    done = threading.Event()
    stderr = os.dup(2)  # the real one: the block may hold back what is written there
    watcher = threading.Thread(
        target=_end_in_time, args=(done, limit_s, stderr), name="ray-start", daemon=True
    )
    watcher.start()
    try:
        yield
    except FacemillError:
        raise
    except Exception as error:
        raise ResourcesError(f"Ray cannot be started: {_reason(error)}{_hints()}") from None
    finally:
        done.set()
        watcher.join()
        os.close(stderr)


def _end_in_time(done: threading.Event, limit_s: float, stderr: int) -> None:
    deadline, dead = time.monotonic() + limit_s, ""
    while not dead and time.monotonic() < deadline:
        if done.wait(0.5):
            return
        dead = _dead_process()
    # It may just be about to say so itself.
    if done.wait(1.0):
        return
    why = f"its process {dead} has ended" if dead else f"it was not ready within {limit_s:g} s"
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    with contextlib.suppress(OSError):  # what is held back, if it is
        os.write(stderr, os.pread(2, 1 << 20, 0))
    text = f"failed: Ray cannot be started: {why}{_hints()} (FACEMILL_START_S gives it longer)\n"
    os.write(stderr, text.encode())
    os._exit(1)  # its processes end with this one


def _dead_process() -> str:
    """The name of a process of Ray's that this one has started and that is dead, or ''."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
            state, parent = rest.split()[:2]
            if state == "Z" and int(parent) == os.getpid() and name in _PROCESSES:
                return name
    return ""


def _reason(error: Exception) -> str:
    """What Ray says, on one line; its first paragraph says what, the others what else."""
    if isinstance(error, OSError):
        return reason_of(error)
    return " ".join((str(error) or type(error).__name__).split())[:600].rstrip(".")


def _hints() -> str:
    """Limits of this process that may be the cause, and where Ray's own logs are."""
    found = list[str]()
    for name, (kind, unit, plenty) in _LIMITS.items():
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY and limit < plenty:
            found.append(f"{name} is {limit // unit:,}")
    for folder in ("/dev/shm", tempfile.gettempdir()):
        with contextlib.suppress(OSError):
            if (free := shutil.disk_usage(folder).free) < 256 << 20:
                found.append(f"{folder} has {free >> 20} MB free")
    limits = f"; this may be why: {', '.join(found)}" if found else ""
    logs = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or tempfile.gettempdir())
    logs = next((p / "ray" for p in (logs, Path("/tmp")) if (p / "ray").is_dir()), None)
    return f"{limits}; its logs: {logs}/session_latest/logs" if logs else limits
