"""A manifest whose ingest is under way, or died, is refused and never read by halves."""

from pathlib import Path

import pytest

from model.errors import ManifestError
from pipelines.manifests.ingest import assemble, hash_and_label, write_ingested
from pipelines.manifests.manifest import read_manifest
from pipelines.manifests.options import IngestOptions
from pipelines.manifests.sources.images import list_entries
from pipelines.storage import writes

REFUSED = (
    r"^manifest \S+ is not finished: manifest\.json, which jobs\.ingest writes last, is missing"
)


def write(faces_dir: Path, output: str) -> None:
    options = IngestOptions(str(faces_dir))
    listed = list_entries({"root": [options.place], "descend": [True]})
    parts = [hash_and_label(part, with_hash=True) for part in listed]
    write_ingested(assemble(parts, options), options, output)


@pytest.mark.parametrize("below", ["", "/manifest"])
def test_at_every_write_of_an_ingest_a_reader_gets_all_rows_or_a_sentence(
    faces_dir: Path, tmp_path: Path, below: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.images.decoding.is_retried_task", lambda: False)
    output = str(tmp_path / "manifest")  # named as the folder in it
    seen = list[str]()

    def look(moment: str, operation: str, uri: str) -> None:
        try:
            assert read_manifest(f"{output}{below}").num_rows == 60
            seen.append("whole")
        except ManifestError as error:
            assert "is not finished" in str(error)
            seen.append("refused")

    write(faces_dir, output)
    with writes.watched(look):
        write(faces_dir, output)  # a refresh
    assert {"whole", "refused"} == set(seen)
    assert read_manifest(f"{output}{below}").num_rows == 60


def test_a_refresh_that_died_is_refused_and_its_rejects_are_no_manifest(
    faces_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.images.decoding.is_retried_task", lambda: False)
    write(faces_dir, str(tmp_path))
    (tmp_path / "manifest.json").unlink()
    for uri in (str(tmp_path), f"{tmp_path}/manifest"):
        with pytest.raises(ManifestError, match=REFUSED):
            read_manifest(uri)
