"""The command line that a job's options become."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest

from jobs import cli
from model.errors import UsageError
from pipelines.configuration import (
    ADVANCED,
    HIDDEN,
    Renamed,
    build,
    changed,
    flat,
    names,
    renamed,
    to_json,
)
from pipelines.scoring.options import ScoreOptions
from pipelines.telemetry import log
from tests.jobs.conftest import JOBS, kind_of


@dataclasses.dataclass(frozen=True)
class Group:
    """What is put up with."""

    RENAMED: ClassVar = (
        Renamed(("rows",), "shard_rows"),
        Renamed(("whole", "only"), "compact", lambda whole=False, only=0: whole, ("whole",)),
    )

    shard_rows: Annotated[int | None, "N"] = None
    """Images an output file; less than `coverage` says nothing."""
    rarely: Annotated[int, "N", ADVANCED] = 7
    """Of use to few."""
    compact: bool = False
    """In few files."""
    seam: Annotated[str, HIDDEN] = "usual"
    """For tests."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What to do."""

    SAVED_IN: ClassVar[str] = "job.json"

    RENAMED: ClassVar = (
        Renamed(("colour",), "colour", lambda colour: "grey", only=frozenset({"gray"})),
    )

    images: Annotated[tuple[str, ...], "URI ..."] = ()
    """Folders."""
    colour: Literal["grey", "rgb"] = "rgb"
    """What is seen."""
    coverage: Annotated[float, "SHARE"] = 0.9
    """Share of people."""
    group: Group = dataclasses.field(default_factory=Group)


KINDS = [kind_of(job) for job in JOBS]


def parsed(*argv: str) -> Options:
    return cli.parse(Options, "jobs.test", "Does it.", argv)


def test_options_have_one_flat_name_space_whatever_group_they_are_in() -> None:
    options = build(Options, images=["a"], shard_rows=3)
    assert options == Options(("a",), group=Group(3))
    assert flat(options) == {
        "images": ("a",), "colour": "rgb", "coverage": 0.9, "shard_rows": 3, "rarely": 7,
        "compact": False, "seam": "usual",
    }  # fmt: skip
    assert changed(options, compact=True).group == Group(3, compact=True)
    assert to_json(options) == {"images": ["a"], "shard_rows": 3}
    assert build(Options, **to_json(options)) == options
    with pytest.raises(UsageError, match=r"^Options has no option shards: it has images, colour"):
        build(Options, shards=3)


@pytest.mark.parametrize("kind", KINDS)
def test_no_name_is_in_two_groups(kind: type) -> None:
    assert len(names(kind)) == len(set(names(kind)))


def test_a_flag_has_the_name_of_its_field_without_the_group_s() -> None:
    assert parsed("--images", "a", "b", "--shard-rows", "3", "--compact") == Options(
        ("a", "b"), group=Group(3, compact=True)
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
    assert not any(word in shown for word in ("None", "--seam", "--rarely", "--rows"))
    with pytest.raises(SystemExit):
        parsed("--help-all")
    shown = capsys.readouterr().out
    assert "--rarely N" in shown and "--seam" not in shown
    assert parsed("--rarely", "3").group.rarely == 3


def test_names_of_the_version_before_work_and_say_what_replaces_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    log.reword_notes(str)
    assert parsed("--rows", "3", "--whole").group == Group(3, compact=True)
    assert parsed("--rows=3", "--shard-rows", "4").group == Group(4)
    said = capsys.readouterr().err
    assert "--rows 3 is now `shard_rows` 3" in said and "--whole is now `compact`" in said
    assert parsed("--colour", "gray").colour == "grey"
    with pytest.raises(SystemExit):
        parsed("--colour", "green")
    file = tmp_path / "job.json"
    file.write_text(json.dumps({"options": {"rows": 3, "whole": True, "colour": "gray"}}))
    assert parsed("--config", str(file)) == Options(colour="grey", group=Group(3, compact=True))


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_of_before_stands_for_an_option_there_is(kind: type) -> None:
    for rule in renamed(kind):
        assert rule.new in names(kind)
        assert rule.only or not {*rule.old} & {*names(kind)}


@pytest.mark.parametrize(
    ("job", "old", "expected"),
    [
        ("score", "--faces detect --engine tensorflow --precision float32 --views 2",
         {"faces": "detect", "compute": "tensorflow-float32", "tta": 2}),
        ("score", "--incremental --drop-deleted --keep-columns id --use-gpu --least-eyes-px 12",
         {"on_existing": "mirror", "passthrough": "id", "device": "gpu",
          "min_eye_distance_px": 12.0}),
        ("score", "--retry-quarantined --plan fused --compact",
         {"on_existing": "retry", "device": "cpu", "partition_by": "none"}),
        ("evaluate", "--precision int8 --label-format fairface --faces crop",
         {"compute": "int8", "label_format": "fairface", "faces": "crop"}),
        ("ingest", "--images x --labels beside --split-column fold --split-seed 3",
         {"label_format": "sidecar", "split": "fold", "seed": 3}),
        ("train", "--num-workers 2 --use-gpu --no-int8 --age-head groups --conflicts mean",
         {"workers": 2, "device": "gpu", "quantization": "none", "heads": "age-groups,gender",
          "conflicting_duplicates": "mean"}),
        ("train", "--list-presets", {"preset": "list"}),
        ("cross_validate", "--folds 3 --folds-of val,test --race-head auxiliary",
         {"folds": 3, "fold_splits": "val,test", "heads": "age,gender,race-auxiliary"}),
        ("report", "--json a.json --parquet b.parquet", {"data": ("a.json", "b.parquet")}),
    ],
)  # fmt: skip
def test_the_jobs_options_of_before_mean_the_same(
    job: str, old: str, expected: dict[str, object]
) -> None:
    options = flat(cli.parse(kind_of(job), f"jobs.{job}", "", old.split()))
    assert {name: options[name] for name in expected} == expected


def test_the_help_of_scoring_shows_fifteen_options_and_names_columns_as_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def shown(word: str) -> tuple[set[str], str]:
        with pytest.raises(SystemExit):
            cli.parse(ScoreOptions, "jobs.score", "", [word])
        text = capsys.readouterr().out
        return {*re.findall(r"^. (--[a-z][a-z-]+)", text, re.MULTILINE)}, text

    few, _ = shown("--help")
    assert len(few - {"--help-all"}) <= 15
    every, text = shown("--help-all")
    assert every - few == {cli.flag(name) for name in names(ScoreOptions)} - few - {
        "--store-timeout-s", "--decoder",
    }  # fmt: skip
    assert not re.search(r"columns? +`?--", text)


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
    text = "`output` /x: give `shard_rows`, `jobs.train.heads` age, or `python -m jobs.score`"
    assert cli.rendered(text, Options) == (
        "`output` /x: give --shard-rows, `jobs.train --heads` age, or `python -m jobs.score`"
    )


def test_a_full_disk_is_told_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    def full(options: Options) -> None:
        raise OSError(28, "No space left on device", "/out/run.json")

    with pytest.raises(SystemExit) as stop:
        cli.run(Options, full, [])
    assert stop.value.code == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == (
        "failed: /out/run.json: No space left on device (ENOSPC); make room on that disk; what has "
        "been written is complete; fix this, then run the same command again"
    )


def test_a_folder_that_was_removed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(SystemExit) as stop:
        cli.run(Options, lambda _: None, [])
    assert stop.value.code == 2
    assert "the working directory was removed" in capsys.readouterr().err


def test_what_to_type_next_is_quoted_and_summaries_name_flags(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.command("train", manifest="/it's", output="runs/t") == (
        "python -m jobs.train --manifest '/it'\"'\"'s' --output runs/t"
    )
    log.reword_notes(lambda text: cli.rendered(text, Options))
    cli.print_table("done", [("note", "less by `shard_rows`")])
    assert "less by --shard-rows" in capsys.readouterr().out
