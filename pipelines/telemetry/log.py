"""What a run says on stderr beside its progress, through Python's own logging.

A note is a sentence for people. A phase is a line for log stores: FACEMILL_LOG=json prints JSON
lines, =text the same for people, =off nothing; unset means text on a cluster (RAY_ADDRESS) and
nothing elsewhere. `ray job logs` has both.
"""

import json
import logging
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

# Of this process; workers that Ray starts are told (FACEMILL_* is passed on to them).
RUN_ID, JOB = "FACEMILL_RUN_ID", "FACEMILL_JOB"
_FORMATS = ("json", "text", "off")
_LOGGER = "facemill"


def note(text: str) -> None:
    """Tell people something that no result of the run shows."""
    _logger().warning(text)


def log_phase(facts: dict[str, Any]) -> None:
    """Print the line of a phase, with time, run id and job before its facts."""
    _logger().info("", extra={"facts": facts})


def reword_notes(words: Callable[[str], str]) -> None:
    """Put every note through `words` before it is printed: a job names its flags in them."""
    _formatter().words = words


def reworded(text: str) -> str:
    """A text as `reword_notes` puts a note."""
    return _formatter().words(text)


def log_format() -> str:
    """`json`, `text` or `off`; whatever else FACEMILL_LOG says is text."""
    chosen = os.environ.get("FACEMILL_LOG", "text" if os.environ.get("RAY_ADDRESS") else "off")
    return chosen if chosen in _FORMATS else "text"


class _RunFilter(logging.Filter):
    """Adds the run's id and job to every record; leaves phases out where nobody wants them."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.run_id, record.job = os.environ.get(RUN_ID, ""), os.environ.get(JOB, "")
        return not hasattr(record, "facts") or log_format() != "off"


class _Formatter(logging.Formatter):
    """Notes as they are; phases as FACEMILL_LOG says."""

    words: Callable[[str], str] = staticmethod(str)

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, Any] | None = getattr(record, "facts", None)
        if facts is None:
            return self.words(record.getMessage())
        time = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ids = {name: getattr(record, name) for name in ("run_id", "job")}
        line = {"time": time, **ids, **facts}
        if log_format() == "json":
            return json.dumps(line, default=str)
        return " ".join(f"{key}={value}" for key, value in line.items())


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what sys.stderr is at the moment, which tests and terminals exchange."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def _logger() -> logging.Logger:
    logger = logging.getLogger(_LOGGER)
    if not logger.handlers:
        handler = _Stderr()
        handler.addFilter(_RunFilter())
        handler.setFormatter(_Formatter())
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    return logger


def _formatter() -> _Formatter:
    formatter = _logger().handlers[0].formatter
    if not isinstance(formatter, _Formatter):
        raise TypeError("the logger facemill has somebody else's handler")
    return formatter
