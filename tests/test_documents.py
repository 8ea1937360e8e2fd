"""The documents say what the code does."""

import ast
import re
from pathlib import Path

import pytest

from tests import architecture
from tests.document_schemas import DOCUMENTS, ROOT, SCHEMAS, generated

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
by_name = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_schema_tables_are_the_code_s(document: Path) -> None:
    assert generated(document.read_text()) == document.read_text(), (
        "a schema changed: run `.venv/bin/python -m tests.document_schemas`"
    )


def test_every_schema_is_documented() -> None:
    text = "".join(document.read_text() for document in DOCUMENTS)
    assert [name for name in SCHEMAS if f"<!-- schema:{name} -->" not in text] == []


def test_every_field_report_has_a_test_that_is_there() -> None:
    rows = [line for line in (ROOT / "docs" / "field-reports.md").read_text().splitlines()
            if line.startswith("| ") and not line.startswith("| what |")]  # fmt: skip
    assert rows
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert named, row
        for path, name in named:
            assert f"\ndef {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


def test_the_readme_is_one_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 160


def test_the_readme_s_test_commands_are_what_ci_runs() -> None:
    text = (ROOT / "README.md").read_text()
    assert "make demo" in text
    assert "make test" in text
    steps = (ROOT / ".ci" / "run").read_text()
    assert "step make test\n" in steps
    assert "make test-slow" in text
    assert "step make test-slow\n" in steps


def test_picture_and_tables_of_the_architecture_are_the_code_s() -> None:
    """The list of files among them, so every module has a line there."""
    anew = "files, imports or docstrings changed: run `.venv/bin/python -m tests.architecture`"
    assert architecture.picture() == architecture.PICTURE.read_text(), anew
    assert architecture.generated(architecture.PAGE.read_text()) == architecture.PAGE.read_text(), (
        anew
    )


def test_every_module_has_a_line_in_the_architecture() -> None:
    files = [
        path for floor in ("jobs", "pipelines", "model") for path in (ROOT / floor).rglob("*.py")
    ]
    modules = {str(path.relative_to(ROOT)) for path in files if not path.name.startswith("__")}
    found: set[str] = set()
    room = ""
    for line in architecture.PAGE.read_text().splitlines():
        if heading := re.fullmatch(r"\*\*(\S+/)\*\*", line):
            room = heading[1]
        elif row := re.match(r"\| `([\w/]+\.py)` \| \S", line):
            found.add(row[1] if row[1].startswith("pipelines/") else room + row[1])
    assert modules - found == set()


def ways() -> list[list[str]]:
    """The numbered calls of docs/architecture.md, a list a way."""
    text = architecture.PAGE.read_text()
    parts = re.split(r"^## ", text, flags=re.MULTILINE)
    found = [re.findall(r"^\d+\. `(\S+\.py:\S+?)`", part, re.MULTILINE) for part in parts]
    return [way for way in found if way]


def defined(path: Path) -> set[str]:
    """Functions, and methods as `Class.method`."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            inner = (one for one in node.body if isinstance(one, ast.FunctionDef))
            found |= {f"{node.name}.{one.name}" for one in inner}
    return found


def test_the_two_ways_are_made_of_calls_that_are_there() -> None:
    scoring, training = ways()
    assert len(scoring) > 30 and len(training) > 25
    for way in (scoring, training):
        so_far = ""
        for step in way:
            file, _, name = step.partition(":")
            path = ROOT / file
            assert name in defined(path), step
            called = name.removesuffix(".__call__").rpartition(".")[2]
            assert not so_far or re.search(rf"\b{called}\b", so_far), f"who calls {step}?"
            so_far += path.read_text()


@by_name
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#\S*)?\)", page.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


# What pages name although it is not there any more: releases of before, and what tests were.
_PAST = {"CHANGELOG.md", "docs/decisions/006-test-suite.md", "docs/decisions/007-rooms.md"}


@by_name
def test_paths_of_the_code_are_there(page: Path) -> None:
    if str(page.relative_to(ROOT)) in _PAST:
        return
    named = set(
        re.findall(r"\b(?:jobs|pipelines|model|tests|benchmarks)/[\w/]+\.py", page.read_text())
    )
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@by_name
def test_commands_are_there(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        return
    text = page.read_text()
    verbs = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`(?:[^`\n]*\$ )?make ([a-z-]+)[^`\n]*`", text)) - verbs == set()
    programs = set(re.findall(r"-m ((?:jobs|tests|benchmarks)\.[a-z0-9_.]+)", text))
    places = {p: ROOT / p.rstrip(".").replace(".", "/") for p in programs}
    missing = [
        p
        for p, place in places.items()
        if not (place.with_suffix(".py").exists() or (place / "__main__.py").exists())
    ]
    assert missing == []
