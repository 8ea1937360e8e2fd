"""kill -9 of a driver and every process of its own Ray."""

import contextlib
import os
import signal
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
    psutil.wait_procs(family, timeout=20)
