"""The documents say what the code does."""

from pathlib import Path

import pytest

from tests.document_schemas import DOCUMENTS, ROOT, SCHEMAS, generated


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_schema_tables_are_the_code_s(document: Path) -> None:
    assert generated(document.read_text()) == document.read_text(), (
        "a schema changed: run `.venv/bin/python -m tests.document_schemas`"
    )


def test_every_schema_is_documented() -> None:
    text = "".join(document.read_text() for document in DOCUMENTS)
    assert [name for name in SCHEMAS if f"<!-- schema:{name} -->" not in text] == []


def test_every_module_has_a_line_in_the_tree_of_the_readme() -> None:
    files = [
        path for floor in ("jobs", "pipelines", "model") for path in (ROOT / floor).rglob("*.py")
    ]
    named = {str(path.relative_to(ROOT)) for path in files if not path.name.startswith("__")}
    assert set(tree_of_the_readme()) == named


def tree_of_the_readme() -> list[str]:
    """The paths of its .py files: a line's folder is the last one that is indented less."""
    tree = (ROOT / "README.md").read_text().partition("## The tree\n\n```\n")[2].partition("```")[0]
    found: list[str] = []
    folders: list[str] = []
    for line in tree.splitlines():
        name = line.split()[0]
        del folders[(len(line) - len(line.lstrip())) // 2 :]
        if name.endswith("/"):
            folders.append(name)
        elif name.endswith(".py"):
            found.append("".join([*folders, name]))
    return found


def test_the_readme_s_test_commands_are_what_ci_runs() -> None:
    text = (ROOT / "README.md").read_text()
    assert "make demo" in text
    assert "make test" in text
    steps = (ROOT / ".ci" / "run").read_text()
    assert "step make test\n" in steps
    assert "make test-slow" in text
    assert "step make test-slow\n" in steps
