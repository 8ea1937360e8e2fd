"""One structured line a phase, with the run's id: what a log store can search and add up.

FACEMILL_LOG=json prints JSON lines, =text the same for people, =off nothing; unset means text on a
cluster (RAY_ADDRESS) and nothing elsewhere. Lines go to stderr, so `ray job logs` has them:

    {"time": "2026-11-24T02:20:01Z", "run_id": "5f0c…", "job": "score", "phase": "freeze",
     "status": "ok", "seconds": 1.42, "inputs": 18975}
"""

import json
import os
import sys
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

_FORMATS = ("json", "text", "off")
# Of this process; workers that Ray starts are told (jobs.cli passes FACEMILL_* on).
_ID, _JOB = "FACEMILL_RUN_ID", "FACEMILL_JOB"


def begin_run(job: str) -> None:
    """Name the job, and give the run an id unless whoever started it has given one."""
    os.environ[_JOB] = job
    os.environ.setdefault(_ID, uuid.uuid4().hex[:12])


def adopt_run(run_id: str) -> None:
    """Go by the id that an earlier driver of the same output has chosen."""
    if run_id:
        os.environ[_ID] = run_id


def run_id() -> str:
    """The id of this run, '' where no job has begun."""
    return os.environ.get(_ID, "")


@contextmanager
def phase(name: str) -> Generator[dict[str, Any]]:
    """Time a phase and print its line at the end, also if it failed.

    Yields:
        A dictionary for figures that belong into the line.
    """
    facts: dict[str, Any] = {}
    started, status = time.monotonic(), "failed"
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
        _say(name, status, time.monotonic() - started, facts)


def log_format() -> str:
    """`json`, `text` or `off`; whatever else FACEMILL_LOG says is text."""
    chosen = os.environ.get("FACEMILL_LOG", "text" if os.environ.get("RAY_ADDRESS") else "off")
    return chosen if chosen in _FORMATS else "text"


def _say(name: str, status: str, seconds: float, facts: dict[str, Any]) -> None:
    chosen = log_format()
    if chosen == "off":
        return
    line = {
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "run_id": run_id(),
        "job": os.environ.get(_JOB, ""),
        "phase": name,
        "status": status,
        "seconds": round(seconds, 2),
        **facts,
    }
    if chosen == "json":
        text = json.dumps(line, default=str)
    else:
        text = " ".join(f"{key}={value}" for key, value in line.items())
    print(text, file=sys.stderr, flush=True)
