"""A manifest whose ingest is under way, or died, is refused and never read by halves."""

from pathlib import Path

import pytest

from model.errors import ManifestError
from pipelines.manifests.ingest import ingest, write_ingested
from pipelines.manifests.manifest import read_manifest
from pipelines.manifests.options import IngestOptions
from pipelines.storage import writes

pytestmark = pytest.mark.usefixtures("without_ray")

REFUSED = (
    r"^manifest \S+ is not finished: manifest\.json, which jobs\.ingest writes last, is missing"
)


def write(faces_dir: Path, output: str) -> None:
    options = IngestOptions(str(faces_dir))
    write_ingested(ingest(options), options, output)


@pytest.mark.parametrize("below", ["", "/manifest"])
def test_at_every_write_of_an_ingest_a_reader_gets_all_rows_or_a_sentence(
    faces_dir: Path, tmp_path: Path, below: str
) -> None:
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
    faces_dir: Path, tmp_path: Path
) -> None:
    write(faces_dir, str(tmp_path))
    (tmp_path / "manifest.json").unlink()
    for uri in (str(tmp_path), f"{tmp_path}/manifest"):
        with pytest.raises(ManifestError, match=REFUSED):
            read_manifest(uri)
