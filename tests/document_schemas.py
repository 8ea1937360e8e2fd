"""The schema tables of README.md and docs/formats.md: `python -m tests.document_schemas`.

A table stands between `<!-- schema:predictions -->` and `<!-- end -->`; `make check` fails where it
is not what the code says.
"""

import re
from pathlib import Path

import pyarrow as pa

from pipelines.manifests import manifest
from pipelines.predictions import label_issues, labelling, out_of_fold, schemas

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "formats.md")
SCHEMAS: dict[str, pa.Schema] = {
    "predictions": schemas.PREDICTIONS_SCHEMA,
    "optional": schemas.OPTIONAL_SCHEMA,
    "quarantine": schemas.QUARANTINE_SCHEMA,
    "manifest": manifest.MANIFEST_SCHEMA,
    "rejects": manifest.REJECTS_SCHEMA,
    "evaluation": labelling.LABELLED_SCHEMA,
    "out_of_fold": out_of_fold.OUT_OF_FOLD_SCHEMA,
    "label_issues": label_issues.LABEL_ISSUES_SCHEMA,
}
_BLOCK = re.compile(r"(<!-- schema:(\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def describe_schema(schema: pa.Schema) -> str:
    """A schema as a Markdown table: column, type, unit, meaning."""
    lines = ["| column | type | unit | meaning |", "|---|---|---|---|"]
    for column in schema:
        notes = {k.decode(): v.decode() for k, v in (column.metadata or {}).items()}
        kind = str(column.type).replace(
            "dictionary<values=string, indices=int8, ordered=0>", "dictionary"
        )
        lines.append(
            f"| `{column.name}` | {kind} | {notes.get('unit', '')} | {notes.get('meaning', '')} |"
        )
    return "\n".join(lines)


def generated(text: str) -> str:
    """A document with every schema table made anew."""
    return _BLOCK.sub(
        lambda m: m[1] + describe_schema(SCHEMAS[m[2]]) + "\n" + m[3],
        text,
    )


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(generated(document.read_text()))
