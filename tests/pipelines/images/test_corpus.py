"""Every kind of input becomes the row that docs/inputs.md says."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model.bundle import Bundle
from model.errors import DecodeError
from model.predictor import Predictor
from model.preprocessing import InputSpec, decode_image
from pipelines.images.batches import decode_entries_with
from pipelines.images.guarded_decoder import IsolatedDecoder
from pipelines.scoring import rows
from pipelines.storage import listing, local
from tests.corpus import DOCUMENT, KINDS, document, truncated_everywhere
from tests.robustness.deadly import DECODER


@pytest.fixture(scope="module")
def apart() -> Iterator[IsolatedDecoder]:
    decoder = IsolatedDecoder(DECODER, timeout_s=2.0)
    yield decoder
    decoder.close()


def _entries(folder: Path) -> list[dict[str, Any]]:
    """Make the corpus; what a listing shows of it, and what only a list would name."""
    for kind in KINDS:
        if kind.make is not None:
            (folder / kind.name).parent.mkdir(parents=True, exist_ok=True)
            kind.make(folder / kind.name)
    (folder / ".hidden.jpg").write_bytes(b"not an input")
    listed = [dataclasses.asdict(entry) for entry in listing.list_files(str(folder))]
    named = [{"uri": str(folder / kind.name), "bytes": 1} for kind in KINDS if kind.alone]
    (folder / "changed.jpg").write_bytes((folder / "plain.webp").read_bytes())
    seen = {entry["uri"] for entry in listed}
    return listed + [entry for entry in named if entry["uri"] not in seen]


def _shown(name: str) -> str:
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def test_every_kind_of_input_becomes_the_row_it_should(
    untrained: Bundle, tmp_path: Path, apart: IsolatedDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = local.read_up_to

    def denying(uri: str, max_bytes: int) -> bytes:  # root may read everything
        if uri.endswith("secret.jpg"):
            raise PermissionError(f"access to {uri} is denied")
        return read(uri, max_bytes)

    monkeypatch.setattr(local, "read_up_to", denying)
    entries = _entries(tmp_path)
    predictor = Predictor(untrained, batch_size=32)
    scored = rows.score_entries(entries, predictor, decode=decode_entries_with(apart))
    good, bad = scored.predictions, scored.quarantine
    found = dict.fromkeys(good["uri"].to_pylist(), "scored")
    for row in bad.to_pylist():
        assert row["uri"] not in found
        assert row["message"]
        found[row["uri"]] = f"{row['stage']}: {row['error']}"
    wanted = {str(tmp_path / _shown(kind.name)): kind.outcome for kind in KINDS}
    assert found == wanted
    assert len(entries) == good.num_rows + bad.num_rows == len(KINDS) >= 40


def test_a_jpeg_cut_anywhere_is_not_scored() -> None:
    cuts = list(truncated_everywhere())
    assert len(cuts) > 10
    for name, data in cuts:
        with pytest.raises(DecodeError) as error:
            decode_image(data, InputSpec())
        assert error.value.reason in ("truncated", "corrupt", "not_an_image"), name


def test_the_document_of_inputs_is_the_corpus_s() -> None:
    assert DOCUMENT.read_text() == document(), "run `.venv/bin/python -m tests.corpus`"
