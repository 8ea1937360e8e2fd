"""kill -9 of a driver and every process of its own Ray."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import psutil


def kill_tree(pid: int) -> None:
    """kill -9 the driver and every process of its own Ray."""
    session = os.getsid(pid)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getsid(int(entry.name)) == session or _environment_has(entry, pid):
                    os.kill(int(entry.name), signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue


def _environment_has(entry: Path, pid: int) -> bool:
    """Whether the process was started by the Ray of `pid` (Ray daemons leave the session)."""
    try:
        return f"RAY_JOB_DRIVER_PID={pid}\0" in (entry / "environ").read_text()
    except OSError:
        return False


def kill_family(driver: psutil.Process) -> None:
    """kill -9 a driver first, then what is left of its Ray, and wait until that is gone."""
    family = driver.children(recursive=True)
    for process in (driver, *family):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    wait_until_dead(family, 20)


def wait_until_dead(processes: Iterable[psutil.Process], timeout_s: float) -> None:
    """Wait until none of them runs; who has died and was not reaped yet is dead.

    What is left of a killed Ray is reaped by the machine's first process, when it comes to it.
    """
    deadline = time.monotonic() + timeout_s
    while any(_runs(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.02)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
