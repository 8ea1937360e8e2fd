"""Jobs as a person starts them, in this process: seconds of imports a test less than `python -m`.

That `python -m jobs.NAME` does the same is the part of test_processes.py.
"""

import dataclasses
import importlib
import os
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import pytest

from jobs import cli
from pipelines.telemetry import log


@dataclasses.dataclass(frozen=True)
class Ended:
    """What a job's process would have left: its exit code and what it printed."""

    returncode: int
    stdout: str
    stderr: str


RunJob = Callable[..., Ended]


@pytest.fixture
def run_job(capfd: pytest.CaptureFixture[str]) -> RunJob:
    """Run a job by its name; its environment is its own, as a process's is."""

    def run(name: str, *arguments: object) -> Ended:
        main = importlib.import_module(f"jobs.{name}").main
        capfd.readouterr()  # what came before is not the job's
        code = 0
        with mock.patch.dict(os.environ):
            try:
                main([str(argument) for argument in arguments])
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
            finally:
                log.reword_notes(str)  # notes of later tests are in no job's terms
        printed = capfd.readouterr()
        return Ended(code, printed.out, printed.err)

    return run


JOBS = sorted(path.stem for path in Path(cli.__file__).parent.glob("[a-z]*.py"))
JOBS.remove("cli")


def kind_of(job: str) -> Any:
    """The class of a job's options."""
    module = importlib.import_module(f"jobs.{job}")
    return next(
        value
        for name, value in vars(module).items()
        if name.endswith("Options") and dataclasses.is_dataclass(value)
    )


def options_of(job: str, kind: Any = None) -> dict[str, tuple[Any, ...]]:
    """A job's options by name, each with what stands beside its type, as ADVANCED."""
    kind = kind or kind_of(job)
    found = dict[str, tuple[Any, ...]]()
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            found |= options_of(job, hint)
        elif typing.get_origin(hint) is not ClassVar and hint is not ClassVar:
            found[name] = getattr(hint, "__metadata__", ())
    return found
