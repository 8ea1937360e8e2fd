"""The README says what the code does."""

from pathlib import Path

import pytest

from pipelines import manifest, predictions, tables

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "schema",
    [predictions.PREDICTIONS_SCHEMA, predictions.QUARANTINE_SCHEMA, manifest.MANIFEST_SCHEMA],
)
def test_the_documented_schema_is_the_code_s(schema: object) -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "docs" / "formats.md").read_text()
    assert tables.describe_schema(schema) in text  # type: ignore[arg-type]


def test_every_module_has_a_line_in_the_tree_of_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    for floor in ("jobs", "pipelines", "model"):
        for file in (ROOT / floor).glob("[a-z]*.py"):
            assert f" {file.name} " in text, f"{floor}/{file.name} is not in the README's tree"
