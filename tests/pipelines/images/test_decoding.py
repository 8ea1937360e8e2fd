"""The decoded array: in manifest order, the same pixels as scoring decodes, bad files left out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from demo.drawn_faces import draw_faces
from model.errors import ManifestError, StorageError
from model.preprocessing import InputSpec, decode_image
from pipelines import storage
from pipelines.cluster.errors import plain_errors
from pipelines.images import decoding
from pipelines.images.decoding import decode_into, decode_manifest
from pipelines.manifests import ingest
from pipelines.manifests.ingest import IngestOptions
from pipelines.telemetry.progress import Progress
from tests.robustness.deadly import DECODER, poisoned

pytestmark = pytest.mark.usefixtures("ray_session")
SPEC = InputSpec(24, 32, "rgb")


def table_of(images: str) -> Any:
    return ingest.ingest(IngestOptions(images)).table


def test_pixels_come_in_manifest_order_and_equal_decode_image(
    faces_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "_BLOCK_ROWS", 7)  # blocks finish in any order
    table = table_of(str(faces_dir))
    decoded = decode_manifest(table, SPEC)
    assert decoded.pixels.shape == (60, 24, 32, 3)
    assert decoded.pixels.dtype == np.uint8
    assert decoded.rows.tolist() == list(range(60))
    assert decoded.rejects == ()
    for row, uri in enumerate(table["uri"].to_pylist()):
        expected = decode_image(Path(uri).read_bytes(), SPEC).pixels
        assert (decoded.pixels[row] == expected).all()


class Other:
    """Another job's worker."""


def test_a_wait_for_cores_that_others_hold_is_told(
    faces_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "_QUIET_S", 0.1)
    table = table_of(str(faces_dir))
    other: Any = ray.remote(Other).options(num_cpus=ray.cluster_resources()["CPU"]).remote()
    ray.get(other.__ray_ready__.remote())
    told: list[tuple[int, str]] = []

    def show(progress: Progress, note: str = "") -> None:
        told.append((progress.done, note))
        if len(told) == 1:
            ray.kill(other)

    monkeypatch.setattr(Progress, "show", show)
    assert len(decode_manifest(table, SPEC).pixels) == 60
    assert told[0] == (0, "waiting: all cores are in use, or the storage of the images is slow")
    assert told[-1] == (60, "")


def test_bad_and_vanished_files_are_named_and_left_out(tmp_path: Path) -> None:
    paths = draw_faces(tmp_path, 4, broken=1)
    table = table_of(str(tmp_path))
    paths[0].unlink()
    decoded = decode_manifest(table, SPEC)
    good = {str(path) for path in paths[1:4]}
    assert {table["uri"][int(row)].as_py() for row in decoded.rows} == good
    assert len(decoded.pixels) == 3
    bad = sorted(decoded.rejects, key=lambda text: text.startswith(str(paths[0])))
    assert bad[0].startswith(f"{paths[4]}: truncated: ")
    assert bad[1] == f"{paths[0]}: not_found: {paths[0]} does not exist"


def test_a_picture_that_kills_or_hangs_its_decoder_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "_BLOCK_ROWS", 2)
    paths = draw_faces(tmp_path, 6)
    for path, how in zip(paths[2:4], ("segv", "hang"), strict=True):
        path.write_bytes(poisoned(path.read_bytes(), how))
    table = table_of(str(tmp_path))
    pixels = np.zeros((6, *SPEC.shape), dtype=np.uint8)
    filled = decode_into(table, SPEC, pixels, "", DECODER, timeout_s=1.0)
    uris = table["uri"].to_pylist()
    assert [uris[row] for row in np.flatnonzero(~filled.good)] == sorted(map(str, paths[2:4]))
    assert set(filled.rejects) == {
        f"{paths[2]}: crashed: the decoder crashed (SIGSEGV)",
        f"{paths[3]}: timeout: decoding took longer than 1 s",
    }
    for row in np.flatnonzero(filled.good):
        assert (pixels[row] == decode_image(Path(uris[row]).read_bytes(), SPEC).pixels).all()


def test_a_file_that_cannot_be_read_in_a_task_is_told_as_if_read_here() -> None:
    with pytest.raises(StorageError, match=r"^the disk is on fire$"), plain_errors():
        ray.get(ray.remote(_unreadable).remote())
    with pytest.raises(ZeroDivisionError), plain_errors():
        ray.get(ray.remote(lambda: 1 // 0).remote())


def _unreadable() -> None:
    raise PermissionError("the disk is on fire")


def test_manifest_without_one_good_image_is_refused(tmp_path: Path) -> None:
    draw_faces(tmp_path, 0, broken=1)
    message = r"^none of the manifest's 1 images can be decoded: .+: truncated: .+$"
    with pytest.raises(ManifestError, match=message):
        decode_manifest(table_of(str(tmp_path)), SPEC)


def test_parts_hold_what_the_whole_holds_and_may_be_all_bad(tmp_path: Path) -> None:
    draw_faces(tmp_path, 4, broken=2)
    table = table_of(str(tmp_path))
    whole = decode_manifest(table, SPEC)
    parts = list(decoding.decode_in_parts(table, SPEC, "", part_bytes=24 * 32 * 3))
    assert [rows.num_rows for rows, _ in parts] == [1] * 4  # one image a part, bad ones skipped
    assert (np.concatenate([images.pixels for _, images in parts]) == whole.pixels).all()
    found = [uri for rows, _ in parts for uri in rows["uri"].to_pylist()]
    assert found == table["uri"].take(whole.rows).to_pylist()


def test_parts_without_one_good_image_are_refused(tmp_path: Path) -> None:
    draw_faces(tmp_path, 0, broken=1)
    with pytest.raises(ManifestError, match=r"^none of the manifest's 1 images can be decoded"):
        list(decoding.decode_in_parts(table_of(str(tmp_path)), SPEC, ""))


def test_a_bucket_decodes_to_the_pixels_of_the_folder(faces_dir: Path, bucket: str) -> None:
    for path in sorted(faces_dir.iterdir())[:5]:
        storage.write_bytes(f"{bucket}/{path.name}", path.read_bytes())
    table = table_of(bucket)
    remote = decode_manifest(table, SPEC)
    for row, uri in enumerate(table["uri"].to_pylist()):
        data = (faces_dir / uri.rpartition("/")[2]).read_bytes()
        assert (remote.pixels[row] == decode_image(data, SPEC).pixels).all()
