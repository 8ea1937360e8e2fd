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
    text = (ROOT / "README.md").read_text()
    files = [
        file for floor in ("jobs", "pipelines", "model") for file in (ROOT / floor).glob("*.py")
    ]
    names = [file.name for file in files if not file.name.startswith("__")]
    assert [name for name in names if f"{name} " not in text] == []


def test_the_readme_s_two_commands_are_what_ci_runs() -> None:
    text = (ROOT / "README.md").read_text()
    assert "make demo" in text
    assert "make test" in text
    assert "make test" in (ROOT / ".ci" / "run").read_text()
