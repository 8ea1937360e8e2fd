"""`python -m jobs.NAME`, the process: it starts, its libraries say nothing, its exit code is ours.

What a job says to which argument is asked in this process, by the other tests here.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from jobs import cli
from pipelines.configuration import HIDDEN
from tests.jobs.conftest import JOBS, options_of


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", JOBS)
def test_help_names_every_argument(name: str) -> None:
    result = _run(f"jobs.{name}", "--help-all")
    assert result.returncode == 0
    offered = {cli.flag(n) for n, notes in options_of(name).items() if HIDDEN not in notes}
    assert [flag for flag in offered if f" {flag} " not in result.stdout] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["ingest", "--images", "{tmp}/none", "--output", "{tmp}/o"],
         "error: --images {tmp}/none does not exist: check the path\n"),
        (["train", "--manifest", "{tmp}/none", "--output", "{tmp}/o"],
         "error: --manifest {tmp}/none does not exist: check the path\n"),
        (["evaluate", "--output", "{tmp}/o"], "error: give either --manifest or --images\n"),
        (["score", "--images", "{tmp}/none", "--output", "{tmp}/o"],
         "error: --images {tmp}/none does not exist: check the path\n"),
        (["demo", "--output", "{tmp}", "--count", "99"],
         "error: --count 99 is too few to learn from: at least 100\n"),
    ],
)  # fmt: skip
def test_a_bad_argument_is_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    result = _run(f"jobs.{arguments[0]}", *(text.format(tmp=tmp_path) for text in arguments[1:]))
    assert (result.returncode, result.stderr) == (2, sentence.format(tmp=tmp_path))
