"""Jobs as a person starts them, in this process: seconds of imports a test less than `python -m`.

That `python -m jobs.NAME` does the same is the part of test_processes.py.
"""

import dataclasses
import importlib
import os
from collections.abc import Callable
from unittest import mock

import pytest

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
