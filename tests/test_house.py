"""The rules of the house that no linter knows."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("model", "pipelines", "jobs")
FILE_LINES, FUNCTION_LINES, JOB_LINES = 300, 60, 80
OTHER_PROGRAMS = {"--runtime-env-json", "--format", "--muted"}  # Ray's, aws's; a CSS variable
EXCUSE = re.compile(r"#.*\blong: \S")  # a comment that says why

sources = pytest.mark.parametrize(
    "path",
    sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py")),
    ids=lambda path: str(path.relative_to(ROOT)),
)


@sources
def test_no_file_is_too_long(path: Path) -> None:
    lines = path.read_text().splitlines()
    if not any(line.startswith("#") and EXCUSE.search(line) for line in lines):
        assert len(lines) <= FILE_LINES


@pytest.mark.parametrize("path", sorted((ROOT / "jobs").glob("*.py")), ids=lambda path: path.name)
def test_a_job_parses_makes_one_call_and_sums_up(path: Path) -> None:
    if path.name in ("__init__.py", "cli.py"):
        return
    assert len(path.read_text().splitlines()) <= JOB_LINES


@pytest.mark.parametrize(
    "path",
    sorted(path for floor in ("model", "pipelines") for path in (ROOT / floor).rglob("*.py")),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_lower_floors_do_not_know_the_command_line(path: Path) -> None:
    """They name the field, as `shard_rows`; jobs/cli.py renders --shard-rows."""
    flags = re.findall(r"(?<![\w(-])--[a-z][a-z-]+", path.read_text())
    assert [flag for flag in flags if flag not in OTHER_PROGRAMS] == []


@sources
def test_no_function_is_too_long(path: Path) -> None:
    text = path.read_text()
    lines = text.splitlines()
    too_long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= FUNCTION_LINES
        and not any(EXCUSE.search(line) for line in lines[node.lineno - 1 : node.end_lineno])
    ]
    assert too_long == []


@sources
def test_no_variable_is_named_model(path: Path) -> None:
    """`model` is a package; a variable of that name would hide it."""
    hidden = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Name) and node.id == "model" and isinstance(node.ctx, ast.Store))
        or (isinstance(node, ast.arg) and node.arg == "model")
    ]
    assert hidden == []


def imported_names(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", sorted((ROOT / "model").rglob("*.py")), ids=lambda path: path.name)
def test_model_knows_no_file_system(path: Path) -> None:
    """import-linter sees packages outside ours only as a whole, and pyarrow itself is allowed."""
    assert not any(re.match(r"pyarrow\.fs\b", name) for name in imported_names(path))


@pytest.mark.parametrize("floor", [*FLOORS, "tests"])
def test_every_folder_of_code_is_a_package(floor: str) -> None:
    folders = {path.parent for path in (ROOT / floor).rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []
