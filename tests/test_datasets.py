"""docs/datasets.md: a section for each choice, and commands that the programs understand."""

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from jobs import cli
from pipelines.manifests.labels.datasets import NAMES
from pipelines.manifests.options import IngestOptions
from pipelines.reporting.options import ReportOptions
from pipelines.scoring.options import EvaluateOptions, ScoreOptions
from pipelines.training.options import TrainOptions

PAGE = Path(__file__).parents[1] / "docs" / "datasets.md"
OPTIONS: dict[str, Any] = {
    "ingest": IngestOptions, "train": TrainOptions, "score": ScoreOptions,
    "evaluate": EvaluateOptions, "report": ReportOptions,
}  # fmt: skip


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.*)$", PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def commands(text: str) -> list[str]:
    return re.findall(r"^(?:\$ |facemill |python -m )*(jobs\.\w+ .*)$", text, re.MULTILINE)


ALL_COMMANDS = commands(PAGE.read_text())


@pytest.mark.parametrize("command", ALL_COMMANDS)
def test_every_command_is_understood(command: str) -> None:
    program, *arguments = shlex.split(command)
    name = program.removeprefix("jobs.")
    parsed = cli.parse(OPTIONS[name], program, "", arguments)
    if isinstance(parsed, TrainOptions):
        heads = [head.label for head in parsed.recipe().kept_heads]
        assert "age_years" in heads
    importlib.import_module(program)


@pytest.mark.parametrize("name", NAMES)
def test_every_data_set_has_a_section_from_labels_to_a_network(name: str) -> None:
    (text,) = (body for title, body in sections().items() if f"`{name}`" in title)
    first = name.removesuffix("-apparent")
    programs = [command.split()[0] for command in commands(text)]
    assert programs == ["jobs.ingest", "jobs.train"]
    assert f"--label-format {first} " in commands(text)[0]
    assert "Traps:" in text
    assert f"`{name}`" in PAGE.read_text().partition("## UTKFace")[0]


def test_data_sets_without_genders_learn_ages_alone() -> None:
    for title in ("APPA-REAL", "CACD", "FG-NET"):
        (text,) = (body for name, body in sections().items() if name.startswith(title))
        assert "--heads age" in text


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_newcomer_s_commands_lead_where_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very commands of "Two walks", on fewer faces and for fewer epochs."""
    import subprocess
    import sys

    from tests.newcomer import fairface, hugging_face

    hugging_face(tmp_path / "faces-hf", 40)
    fairface(tmp_path / "fairface", 120)
    root = PAGE.parents[1]
    monkeypatch.setenv("PYTHONPATH", str(root))
    walks = [c for c in commands(sections()["Two walks"]) if c.startswith("jobs.")]
    assert len(walks) == 6
    printed = ""
    for command in walks:
        program, *arguments = shlex.split(command)
        if program == "jobs.train":
            arguments += ["--epochs", "2"]
        done = subprocess.run(
            [sys.executable, "-m", program, *arguments],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        printed += done.stdout
    assert "labels: sidecar" in printed and "as fairface" in printed
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert (tmp_path / "runs" / "train" / "bundle" / "bundle.json").exists()
    assert "age in labelled range" in printed and "... or the next one" in printed
