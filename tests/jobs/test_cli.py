"""The command line that a job's options become."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, ClassVar

import pytest

from jobs import cli
from model.errors import UsageError
from pipelines.configuration import HIDDEN, build, changed, flat, names, to_json
from pipelines.scoring.options import ScoreOptions
from pipelines.training.options import TrainOptions


@dataclasses.dataclass(frozen=True)
class Group:
    """What is put up with."""

    shard_rows: int | None = None
    """Images an output file; less than `coverage` says nothing."""
    compact: bool = False
    """In few files."""
    seam: Annotated[str, HIDDEN] = "usual"
    """For tests."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What to do."""

    SAVED_IN: ClassVar[str] = "job.json"

    images: Annotated[tuple[str, ...], "URI ..."] = ()
    """Folders."""
    coverage: Annotated[float, "SHARE"] = 0.9
    """Share of people."""
    group: Group = dataclasses.field(default_factory=Group)


def parsed(*argv: str) -> Options:
    return cli.parse(Options, "jobs.test", "Does it.", argv)


def test_options_have_one_flat_name_space_whatever_group_they_are_in() -> None:
    options = build(Options, images=["a"], shard_rows=3)
    assert options == Options(("a",), group=Group(3))
    assert flat(options) == {
        "images": ("a",), "coverage": 0.9, "shard_rows": 3, "compact": False, "seam": "usual",
    }  # fmt: skip
    assert changed(options, compact=True).group == Group(3, True)
    assert to_json(options) == {"images": ["a"], "shard_rows": 3}
    assert build(Options, **to_json(options)) == options
    with pytest.raises(UsageError, match=r"^Options has no option shards: it has images, coverage"):
        build(Options, shards=3)


@pytest.mark.parametrize("kind", [ScoreOptions, TrainOptions])
def test_no_name_is_in_two_groups(kind: type) -> None:
    assert len(names(kind)) == len(set(names(kind)))


def test_a_flag_has_the_name_of_its_field_without_the_group_s() -> None:
    assert parsed("--images", "a", "b", "--shard-rows", "3", "--compact") == Options(
        ("a", "b"), group=Group(3, True)
    )


def test_the_twin_of_a_switch_is_not_listed_and_not_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert parsed("--no-compact") == Options()
    with pytest.raises(SystemExit):
        parsed("--help")
    assert "--no-" not in capsys.readouterr().out


def test_help_fits_80_columns_and_names_units_and_groups(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        parsed("--help")
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.index("Does it.") < shown.index("usage: python -m jobs.test [-h] [OPTIONS]")
    for part in ("--images URI ...", "--shard-rows N ", "group options", "What is put up with."):
        assert part in shown
    assert "less than --coverage says nothing" in shown
    assert "None" not in shown and "--seam" not in shown


def test_the_options_of_an_earlier_run_hold_where_no_flag_says_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    before = build(Options, images=("a",), shard_rows=3, compact=True)
    file.write_text(json.dumps({"options": to_json(before)}))
    assert parsed("--config", str(file)) == before
    assert parsed(f"--config={file}", "--shard-rows", "4") == changed(before, shard_rows=4)
    assert parsed("--config", str(file), "--no-compact") == changed(before, compact=False)
    assert parsed("--config", str(file), "--compact") == before


@pytest.mark.parametrize("text", ["{}", "[1]", "no json", '{"options": {"shards": 1}}'])
def test_a_file_without_options_is_a_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "job.json"
    file.write_text(text)
    with pytest.raises(
        UsageError, match=rf"^--config {file} holds no options|has no option shards"
    ):
        parsed("--config", str(file))
    with pytest.raises(UsageError, match=r"^--config .*/none does not exist: check the path$"):
        parsed("--config", str(tmp_path / "none"))


def test_fields_in_errors_become_flags_and_other_words_stay() -> None:
    text = "`output` /x: give `shard_rows`, or `python -m jobs.score`"
    assert (
        cli.rendered(text, Options) == "`output` /x: give --shard-rows, or `python -m jobs.score`"
    )


def test_a_full_disk_is_told_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    def full(options: Options) -> None:
        raise OSError(28, "No space left on device", "/out/run.json")

    with pytest.raises(SystemExit) as stop:
        cli.run(Options, full, [])
    assert stop.value.code == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == (
        "failed: [Errno 28] No space left on device: '/out/run.json': what has been written is "
        "whole; once that is mended, give the same command again"
    )
