"""The schema tables of README.md and docs/formats.md: `python -m tests.document_schemas`.

A table stands between `<!-- schema:predictions -->` and `<!-- end -->`; `make check` fails where it
is not what the code says.
"""

import re
from pathlib import Path

import pyarrow as pa

from pipelines.manifests import manifest
from pipelines.predictions import label_issues, labelling, out_of_fold, schemas
from pipelines.storage import tables

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


def generated(text: str) -> str:
    """A document with every schema table made anew."""
    return _BLOCK.sub(
        lambda m: m[1] + tables.describe_schema(SCHEMAS[m[2]]) + "\n" + m[3],
        text,
    )


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(generated(document.read_text()))
