"""A labels file that cannot be read is one sentence."""

from pathlib import Path

import pytest

from model.errors import ManifestError
from pipelines.manifests.labels.table import read_labels_file


@pytest.mark.parametrize(
    "content",
    ["path,age,gender\nça.jpg,3,0\n".encode("cp1252"), b"", b"path,age,gender\na,1,0\nb,1,0,9\n"],
)
def test_a_labels_file_that_is_no_csv_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(ManifestError, match=r"labels.csv (cannot be read as UTF-8 CSV|lacks)"):
        read_labels_file(str(tmp_path / "labels.csv"))
