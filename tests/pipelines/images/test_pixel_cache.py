"""Decoded images are kept whole, found again, and read from the disk by whoever needs them."""

import dataclasses
import errno
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from model.preprocessing import InputSpec
from pipelines import storage
from pipelines.images.decoding import decode_manifest
from pipelines.images.pixel_cache import PixelFile, decoded, fetch_pixels, key_of, local_folder
from pipelines.manifests.ingest import ingest
from pipelines.manifests.options import IngestOptions
from pipelines.training.feeding import Feed, Split

SPEC = InputSpec(24, 24, "grey")


@pytest.fixture(scope="module")
def table(faces_dir: Path, tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> pa.Table:
    rows = ingest(IngestOptions(str(faces_dir))).table.slice(0, 8)
    broken = tmp_path_factory.mktemp("broken") / "broken.jpg"
    broken.write_bytes(b"no picture")
    uris = rows["uri"].to_pylist()
    uris[3] = str(broken)
    return rows.set_column(rows.schema.get_field_index("uri"), "uri", pa.array(uris))


def test_decoded_images_are_found_again_and_those_that_failed_are_left_out(
    table: pa.Table, tmp_path: Path
) -> None:
    first = decoded(table, SPEC, str(tmp_path), "decode")
    again = decoded(table, SPEC, str(tmp_path), "decode")
    assert (first.reused, again.reused) == (False, True)
    assert first.rows.tolist() == again.rows.tolist() == [0, 1, 2, 4, 5, 6, 7]
    assert len(again.rejects) == 1
    pixels = again.file.open()
    assert isinstance(pixels, np.memmap)
    assert (pixels[again.rows] == decode_manifest(table, SPEC).pixels).all()


def test_another_size_or_other_files_are_decoded_anew(table: pa.Table) -> None:
    other = dataclasses.replace(SPEC, height=32, width=32)
    keys = {key_of(table, SPEC), key_of(table, other), key_of(table.slice(1), SPEC)}
    assert len(keys) == 3
    assert key_of(table, SPEC) == key_of(table, SPEC)
    empty = pa.nulls(table.num_rows, pa.string())
    for name in ("content_hash", "etag"):
        table = table.set_column(table.schema.get_field_index(name), name, empty)
    assert key_of(table, SPEC) != key_of(table, SPEC)  # who knows whether they changed


def test_a_file_that_is_not_whole_is_decoded_again(table: pa.Table, tmp_path: Path) -> None:
    first = decoded(table, SPEC, str(tmp_path), "decode")
    path = Path(first.file.path)
    path.write_bytes(path.read_bytes()[:-7])
    assert not decoded(table, SPEC, str(tmp_path), "decode").reused
    assert path.stat().st_size == first.file.bytes
    sizes = path.with_suffix(".sizes.npy")
    assert sorted(tmp_path.iterdir()) == sorted([path, sizes, path.with_suffix(".json")])


def test_a_worker_without_that_disk_fetches_the_file(table: pa.Table, tmp_path: Path) -> None:
    file = decoded(table, SPEC, str(tmp_path), "decode").file
    there = fetch_pixels(file, tmp_path / "elsewhere")
    assert there.read_bytes() == Path(file.path).read_bytes()


def test_a_cache_on_s3_serves_another_machine(table: pa.Table, bucket: str) -> None:
    first = decoded(table, SPEC, bucket, "decode")
    held = Path(first.file.path).read_bytes()
    assert storage.read_bytes(f"{bucket}/{Path(first.file.path).name}") == held
    Path(first.file.path).unlink()  # as on a machine that never decoded it
    again = decoded(table, SPEC, bucket, "decode")
    assert again.reused
    assert Path(again.file.path).read_bytes() == held
    assert Path(again.file.path).parent == local_folder(bucket)


def test_an_epoch_gives_each_image_once_whatever_the_interruption(tmp_path: Path) -> None:
    path = tmp_path / "pixels.npy"
    np.save(path, np.arange(20, dtype=np.uint8).reshape(20, 1, 1, 1))
    rows = np.array([row for row in range(20) if row != 7])
    ages = rows.astype(np.float32)[:, None]
    file = PixelFile(str(path), path.stat().st_size, "")
    feed = Feed(Split(file, rows, {"age": ages}, np.ones(len(rows), np.float32)))
    places = np.arange(4)
    whole = list(feed.epoch(1, 5, 4, places))
    seen = np.concatenate([batch.pixels.ravel() for batch in whole])
    assert len(whole) == 4
    assert len(set(seen.tolist()) - {7}) == 16
    assert all((batch.targets["age"].ravel() == batch.pixels.ravel()).all() for batch in whole)
    rest = list(feed.epoch(1, 5, 4, places, first_step=3))
    assert (rest[0].pixels == whole[3].pixels).all()
    assert (rest[0].draws == whole[3].draws).all()


def test_what_a_node_fetched_is_removed_there_and_nowhere_else(
    table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = decoded(table, SPEC, str(tmp_path / "run"), "decode").file
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "node"))
    copy = fetch_pixels(file, local_folder("s3://any").parent)
    assert tmp_path / "node" in copy.parents
    file.drop_copy()
    assert list(copy.parent.iterdir()) == []
    assert Path(file.path).stat().st_size == file.bytes


def test_a_full_disk_is_an_error_and_leaves_nothing(
    table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)  # asked before a page is mapped: no SIGBUS
    with pytest.raises(OSError, match="No space left"):
        decoded(table, SPEC, str(tmp_path), "decode")
    assert list(tmp_path.iterdir()) == []
