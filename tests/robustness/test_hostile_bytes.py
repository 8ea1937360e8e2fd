"""What fuzzing found, each by its bytes: a sentence, where there was a traceback or a wait."""

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.bundle import NETWORK_FILE, RECORD_FILE, read_architecture, read_bundle
from model.errors import BundleError, FacemillError, StorageError
from model.layer_graph import layers_of
from pipelines.manifests.labels.sidecar import _said
from pipelines.manifests.sources import open_source
from pipelines.predictions.dataset import Partitioning, write_dataset
from pipelines.predictions.frozen_inputs import load_frozen
from pipelines.predictions.verification import verify
from pipelines.storage import tables
from pipelines.storage.fetching import ReadFailure, fetch_all
from pipelines.storage.listing import list_files
from tests.archives import parquet_of, zip_of
from tests.robustness.fuzz_targets import GOLDEN

DEEP = b"[" * 100_000


def listed(path: Path, data: bytes) -> list[str]:
    path.write_bytes(data)
    return [entry.uri for entry in list_files(str(path))]


def test_a_zip_whose_directory_names_a_place_outside_of_it_is_no_whole_zip(tmp_path: Path) -> None:
    """Reading there was an OSError, which workers take for an outage and wait for."""
    data = bytearray(zip_of({"a.jpg": b"x" * 100}))
    at = data.index(b"PK\1\2") + 42
    for offset in (0xFFFFFFF0, len(data) + 5):
        data[at : at + 4] = struct.pack("<I", offset)
        with pytest.raises(StorageError, match=r"^\S+ is no whole \.zip \("):
            listed(tmp_path / "a.zip", bytes(data))


def test_a_member_of_a_zip_without_a_name_is_no_input(tmp_path: Path) -> None:
    data = bytearray(zip_of({"a.jpg": b"x", "b.jpg": b"y"}))
    at = data.index(b"PK\1\2")
    data[at + 28 : at + 30] = b"\0\0"  # the length of its name
    data[at + 46 : at + 51] = b""
    end = data.index(b"PK\5\6")
    data[end + 12 : end + 16] = struct.pack("<I", end - data.index(b"PK\1\2"))
    assert [uri.rpartition("#")[2] for uri in listed(tmp_path / "a.zip", bytes(data))] == ["b.jpg"]


@pytest.mark.parametrize("data", [b"\xff\xfe", DEEP, b"[]", b"7", b"{"], ids=str)
def test_a_record_that_is_no_json_object_is_damaged(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "job.json"
    path.write_bytes(data)
    with pytest.raises(StorageError, match=r"^\S+/job\.json is damaged \(.+\): copy it again$"):
        tables.read_json(str(path))


@pytest.mark.parametrize("compression", ["none", "zstd", "snappy"])
def test_damaged_parquet_is_never_taken_for_an_outage(tmp_path: Path, compression: str) -> None:
    sink = io.BytesIO()
    rows = pa.table({"uri": [f"{i}.jpg" for i in range(500)], "bytes": range(500)})
    pq.write_table(rows, sink, compression=compression)
    data, path = sink.getvalue(), tmp_path / "a.parquet"
    for at in range(4, len(data), 41):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF] * 8) + data[at + 8 :])
        try:
            tables.read_table(str(path))
        except StorageError as error:
            assert str(path) in str(error)


def test_parquet_whose_names_are_no_text_is_refused(tmp_path: Path) -> None:
    data = parquet_of([b"a"], kind="plain", name="picture")
    damaged = data.replace(b"picture", b"\xff\xfeture")
    with pytest.raises(StorageError, match=str(tmp_path)):
        listed(tmp_path / "a.parquet", damaged)


def test_a_path_that_is_no_text_costs_no_picture(tmp_path: Path) -> None:
    """It stands beside the bytes, where nobody asks for it: UnicodeDecodeError."""
    uri = f"{tmp_path}/faces.parquet"
    Path(uri).write_bytes(parquet_of([b"one", None, b"three"]).replace(b"1.jpg", b"\xf0.jpg"))
    rows = [{"uri": f"{uri}#{row}", "offset": row, "bytes": None} for row in range(3)]
    one, lost, three = fetch_all(rows)
    assert (one, three) == (b"one", b"three")
    assert isinstance(lost, ReadFailure) and lost.reason == "not_found"


def test_a_record_of_a_run_without_its_end_is_damaged_to_who_lays_it_out(tmp_path: Path) -> None:
    run = {"bundle_id": "0123456789abcdef", "scored": 3, "files": {}}
    (tmp_path / "run.json").write_text(json.dumps(run))
    with pytest.raises(StorageError, match=r"run\.json is damaged, or not a file of facemill"):
        write_dataset(str(tmp_path), Partitioning())


def test_a_label_beside_a_picture_may_nest_without_end() -> None:
    assert _said("json", DEEP.decode()) == {}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda report: report.pop("files"),
        lambda report: report.update(files=[{"size": 3}]),
        lambda report: report.update(files=7),
    ],
)
def test_an_inventory_that_lacks_what_it_must_say_is_refused(
    tmp_path: Path, spoil: Callable[[dict[str, object]], object]
) -> None:
    report: dict[str, object] = {"destinationBucket": "b", "fileFormat": "Parquet", "files": []}
    spoil(report)
    (tmp_path / "manifest.json").write_text(json.dumps(report))
    with pytest.raises(StorageError, match="is damaged, or not a file of facemill"):
        list(open_source((), f"{tmp_path}/manifest.json").parts())


def test_a_bundle_whose_record_nests_without_end_is_damaged(tmp_path: Path) -> None:
    (tmp_path / RECORD_FILE).write_bytes(DEEP)
    with pytest.raises(BundleError, match="is damaged"):
        read_bundle(tmp_path)


def test_a_network_that_is_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    bundle = read_bundle(GOLDEN / "train" / "bundle")
    whole = (bundle.folder / NETWORK_FILE).read_bytes()
    object.__setattr__(bundle, "folder", tmp_path)
    for at in range(0, len(whole), 997):
        (tmp_path / NETWORK_FILE).write_bytes(whole[:at] + b"\xff\xff\xff\xff" + whole[at + 4 :])
        for read in (read_architecture, layers_of):
            try:
                read(bundle)
            except BundleError as error:
                assert NETWORK_FILE in str(error)
    with zipfile.ZipFile(tmp_path / NETWORK_FILE, "w") as archive:
        archive.writestr("config.json", '{"config": {"layers": [3]}}')
    with pytest.raises(BundleError, match="describes no layers"):
        layers_of(bundle)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.json", '{"files": {"predictions/x": 3}}'),
        ("run.json", '{"files": [], "inputs": 1}'),
        ("inputs/frozen.json", '{"rows": [1, "x"], "total": 1}'),
        ("inputs/frozen.json", '{"rows": [5], "total": 7}'),
    ],
)
def test_a_record_of_an_output_that_lacks_what_it_must_say_is_told(
    tmp_path: Path, name: str, text: str
) -> None:
    import shutil

    shutil.copytree(GOLDEN / "score", tmp_path / "out")
    (tmp_path / "out" / name).write_text(text)
    with pytest.raises(FacemillError, match=rf"{name} is damaged, or not a file of facemill"):
        verify(str(tmp_path / "out"))
    if name != "run.json":
        with pytest.raises(StorageError):
            load_frozen(str(tmp_path / "out"))
