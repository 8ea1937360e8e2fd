"""Licences of all that is shipped or installed by requirements.lock: `python -m tests.licences`.

Writes docs/licences.md from what the installed packages say of themselves.
"""

import re
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "licences.md"
HEAD = """# Licences

facemill's own code is under the Apache License 2.0 ([LICENSE](../LICENSE)).

## In the repository

| what | licence |
|---|---|
| `model/faces/yunet_2023mar.onnx`, the face detector's weights | MIT, `model/faces/yunet_LICENSE.txt` |
| `bundles/`, trained networks | as the code; their training data limits them: see each `MODEL_CARD.md` (UTKFace is for non-commercial research) |
| `tests/golden/`, pictures drawn by facemill | as the code |

## Installed by requirements.lock

As each package says of itself. `python -m tests.licences` makes the table; `make sbom` writes a bill of materials (CycloneDX).

| package | version | licence |
|---|---|---|
"""  # noqa: E501 - rows of a table


def locked(lock: Path = ROOT / "requirements.lock") -> dict[str, str]:
    """Name -> version of each package that the lock installs."""
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", lock.read_text(), re.MULTILINE))


def licence_of(name: str) -> str:
    """What a package says, in one line; `not installed here` for another platform's."""
    try:
        about = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return "not installed here"
    classes = [
        value.rpartition(" :: ")[2]
        for value in about.get_all("Classifier") or []
        if value.startswith("License :: ")
    ]
    said = about.get("License-Expression") or "; ".join(classes) or about.get("License") or "?"
    return said.strip().splitlines()[0][:80].replace("|", "/")


def document() -> str:
    """docs/licences.md."""
    rows = [f"| {name} | {version} | {licence_of(name)} |" for name, version in locked().items()]
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
