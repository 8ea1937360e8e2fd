"""tests/check_house.py sees what breaks each of its rules."""

from pathlib import Path

import pytest

from tests import check_house

PROJECT = """[project]
dependencies = ["numpy>=2.1"]
[project.optional-dependencies]
heic = ["Pi_Heif>=1"]
dev = ["pytest>=8"]
"""


WRITES = 'harness.arguments(__doc__, "none.md")'


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(check_house, "ROOT", tmp_path)
    for folder in (*check_house.CODE, "docs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "Makefile").write_text("BENCHMARKS := gone\ncheck: setup\n")
    return tmp_path


@pytest.mark.parametrize(
    ("rule", "path", "text", "broken"),
    [
        ("flags_below_jobs", "model/a.py", "x = 'give --shard-rows'", "--shard-rows"),
        ("variables_named_model", "jobs/a.py", "def f(model):\n    pass", "jobs/a.py:1"),
        ("variables_named_model", "jobs/a.py", "for model in ():\n    pass", "jobs/a.py:1"),
        ("folders_without_init", "tests/deep/a.py", "", "tests/deep"),
        ("file_systems_in_model", "model/a.py", "from pyarrow import fs", "pyarrow.fs"),
        ("undeclared_imports", "jobs/a.py", "import yaml", "yaml"),
        ("undeclared_imports", "pipelines/a.py", "import pytest", "pytest"),
        ("dead_links", "docs/a.md", "[x](b.md)", "b.md"),
        ("dead_paths", "docs/a.md", "see model/none.py", "model/none.py"),
        ("dead_paths", "model/a.py", "# docs/none.md says why", "docs/none.md"),
        ("benchmarks_without_pages", "benchmarks/a.py", WRITES, "docs/none.md"),
        ("benchmarks_without_pages", "benchmarks/a.py", WRITES, "does not run it"),
        ("benchmarks_without_pages", "benchmarks/a.py", "", "names gone"),
        ("dead_commands", "docs/a.md", "`make nothing`", "make nothing"),
        ("dead_commands", "docs/a.md", "python -m jobs.nothing", "jobs.nothing"),
    ],
)
def test_what_breaks_a_rule_is_named(
    house: Path, rule: str, path: str, text: str, broken: str
) -> None:
    place = house / path
    place.parent.mkdir(exist_ok=True)
    place.write_text(text)
    assert any(broken in line for line in getattr(check_house, rule)())


def test_what_keeps_the_rules_is_not_named(house: Path) -> None:
    for folder in check_house.CODE:
        (house / folder / "__init__.py").write_text("")
    (house / "model" / "a.py").write_text("import os\nimport numpy\nimport pi_heif\n")
    (house / "tests" / "a.py").write_text("import pytest\nfrom model import a\n")
    (house / "docs" / "a.md").write_text("[a](a.md), `make check`, model/a.py, python -m model.a\n")
    assert [line for rule in check_house.RULES[:8] for line in rule()] == []
