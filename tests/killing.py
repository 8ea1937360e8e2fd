"""kill -9 of a driver and every process of its own Ray."""

import os
import signal
from pathlib import Path


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
