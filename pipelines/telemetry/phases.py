"""One structured line a phase, with the run's id: what a log store can search and add up.

    {"time": "2026-11-24T02:20:01Z", "run_id": "5f0c…", "job": "score", "phase": "freeze",
     "status": "ok", "seconds": 1.42, "inputs": 18975}

FACEMILL_LOG chooses the form: see log.py.
"""

import os
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from pipelines.telemetry.log import JOB, RUN_ID, log_phase


def begin_run(job: str) -> None:
    """Name the job, and give the run an id unless whoever started it has given one."""
    os.environ[JOB] = job
    os.environ.setdefault(RUN_ID, uuid.uuid4().hex[:12])


def adopt_run(run_id: str) -> None:
    """Take the id that an earlier driver of the same output has chosen."""
    if run_id:
        os.environ[RUN_ID] = run_id


def run_id() -> str:
    """The id of this run, '' where no job has begun."""
    return os.environ.get(RUN_ID, "")


@contextmanager
def phase(name: str) -> Generator[dict[str, Any]]:
    """Time a phase and print its line at the end, also if it failed.

    Yields:
        A dictionary for figures that belong into the line.
    """
    facts: dict[str, Any] = {}
    started = time.monotonic()
    status = "failed"
    try:
        yield facts
        status = "ok"
    except (KeyboardInterrupt, SystemExit):  # Ctrl-C, `ray job stop`
        status = "stopped"
        raise
    except BaseException as error:
        # The kind only: a message may quote an argument, and this line goes to log stores.
        facts["error"] = type(error).__name__
        raise
    finally:
        seconds = round(time.monotonic() - started, 2)
        log_phase({"phase": name, "status": status, "seconds": seconds, **facts})
