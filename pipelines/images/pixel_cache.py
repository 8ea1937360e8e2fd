"""Decoded images as one file that workers map into memory, so a data set may exceed it.

A file is named by all that decides its pixels: the files' identities and the preprocessing. Its
record (.json) is written last, so what has one is whole. Workers on another node without that disk
fetch the file once to their own.
"""

import dataclasses
import fcntl
import hashlib
import io
import math
import os
import tempfile
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from model.preprocessing import InputSpec
from pipelines import storage
from pipelines.images.decoding import DecodedImages, decode_into
from pipelines.storage import tables

_CHUNK_BYTES = 32 * 2**20
_LOCAL = f"facemill-decoded-{os.getuid()}"  # below /tmp, which other people use too


@dataclasses.dataclass(frozen=True)
class PixelFile:
    """A .npy file of uint8 (n, height, width, channels), and the node whose disk holds it."""

    path: str
    bytes: int
    node: str

    def open(self) -> npt.NDArray[np.uint8]:
        """Map the file into memory, read-only; on another node, fetch it there first."""
        path = Path(self.path)
        if not _is_whole(path, self.bytes):
            path = fetch_pixels(self, Path(tempfile.gettempdir()) / _LOCAL)
        return np.load(path, mmap_mode="r", allow_pickle=False)

    def drop_copy(self) -> None:
        """Remove what `open` fetched to this node; who has it mapped keeps it until the end."""
        copy = Path(tempfile.gettempdir()) / _LOCAL / Path(self.path).name
        if copy != Path(self.path):
            copy.unlink(missing_ok=True)
            copy.with_name(f"{copy.name}.lock").unlink(missing_ok=True)


@dataclasses.dataclass(frozen=True)
class CachedPixels:
    """Pixels of some manifest rows in a file.

    Attributes:
        file: with the pixels.
        rows: int64 (m,), the manifest's rows that it holds good pixels of, ascending.
        places: int64 (m,), the file's rows that hold them.
        rejects: a sentence for each row that could not be decoded.
        sizes: int32 (n, 2), width and height of the images themselves, 0 where not decodable.
        reused: whether an earlier run decoded them.
    """

    file: PixelFile
    rows: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    rejects: tuple[str, ...]
    sizes: npt.NDArray[np.int32]
    reused: bool

    def of(self, wanted: npt.NDArray[np.bool_]) -> "CachedPixels":
        """The pixels of some of the manifest's rows, in the same file.

        Args:
            wanted: bool (n,), which rows; those of the result are counted among them.
        """
        chosen = wanted[self.rows]
        rows = (np.cumsum(wanted) - 1)[self.rows[chosen]]
        return dataclasses.replace(
            self, rows=rows, places=self.places[chosen], sizes=self.sizes[wanted]
        )

    def parts(self, part_bytes: int = 2**30) -> Iterator[tuple[Any, DecodedImages]]:
        """The good images in parts: (their manifest rows, pixels and sizes), in row order."""
        pixels = self.file.open()
        step = max(1, part_bytes // math.prod(pixels.shape[1:]))
        for start in range(0, len(self.rows), step):
            rows = self.rows[start : start + step]
            places = self.places[start : start + step]
            images = DecodedImages(pixels[places], rows, (), self.sizes[rows])
            yield pa.array(rows, pa.int64()), images


def local_folder(cache: str) -> Path:
    """Where the files of `cache` lie on this machine: itself, or for s3:// a temporary folder."""
    if storage.is_local(cache):
        return Path(cache)
    return Path(tempfile.gettempdir()) / _LOCAL / hashlib.sha256(cache.encode()).hexdigest()[:8]


def key_of(table: pa.Table, spec: InputSpec) -> str:
    """16 hex digits over the files' identities, in order, and the preprocessing.

    A file without a content hash and an ETag may have changed since: then the key is new each time.
    """
    digest = hashlib.sha256(spec.hash.encode())
    unsure = False
    names = ["uri", "offset", "bytes", "content_hash", "etag", "face_landmarks"]
    for row in table.select([n for n in names if n in table.column_names]).to_pylist():
        points = row.pop("face_landmarks", None)
        unsure |= not (row["content_hash"] or row["etag"])
        digest.update(repr(row["content_hash"] or tuple(row.values())).encode())
        if points is not None:  # the same image, and another part of it
            digest.update(repr(points).encode())
    if unsure:
        digest.update(uuid.uuid4().bytes)
    return digest.hexdigest()[:16]


def decoded(table: pa.Table, spec: InputSpec, cache: str, title: str) -> CachedPixels:
    """The decoded images of a manifest: found in `cache`, or decoded into it.

    Args:
        table: rows of a manifest.
        spec: what the network takes.
        cache: local folder or s3:// prefix.
        title: of the progress line.

    Raises:
        ManifestError: not one image could be decoded.
        OSError: the cache cannot be read or written.
    """
    name = key_of(table, spec)
    path = local_folder(cache) / f"{name}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    record_uri = storage.join(cache, f"{name}.json")
    sizes_uri = storage.join(cache, f"{name}.sizes.npy")
    record = tables.read_json(record_uri) if storage.exists(record_uri) else None
    if record is not None and not storage.exists(sizes_uri):
        record = None  # release 0.1.0 kept no sizes: decode again
    reused = record is not None
    if record is None:
        record = _decode(table, spec, path, title, sizes_uri)
        if not storage.is_local(cache):
            storage.upload(storage.join(cache, path.name), path)
        tables.write_json(record_uri, record)
    elif not _is_whole(path, record["bytes"]):
        if storage.is_local(cache):  # somebody removed the file and left the record
            record = _decode(table, spec, path, title, sizes_uri)
            reused = False
        else:
            storage.download(storage.join(cache, path.name), str(path))
    good = np.ones(table.num_rows, dtype=bool)
    good[record["bad"]] = False
    node = ray.get_runtime_context().get_node_id()
    file = PixelFile(str(path), record["bytes"], node)
    sizes = np.load(io.BytesIO(storage.read_bytes(sizes_uri)), allow_pickle=False)
    rows = np.flatnonzero(good)
    return CachedPixels(file, rows, rows, tuple(record["rejects"]), sizes, reused)


def _decode(
    table: pa.Table, spec: InputSpec, path: Path, title: str, sizes_uri: str
) -> dict[str, Any]:
    """Decode into a temporary file and put it and the sizes in place; returns its record."""
    shape = (table.num_rows, *spec.shape)
    with storage.filling(str(path)) as temporary:
        pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        with open(temporary, "r+b") as file:  # a full disk says so now; in a mapping it kills
            os.posix_fallocate(file.fileno(), 0, os.path.getsize(temporary))
        outcome = decode_into(table, spec, pixels, title)
        pixels.flush()
    buffer = io.BytesIO()
    np.save(buffer, outcome.sizes)
    storage.write_bytes(sizes_uri, buffer.getvalue())
    bad = np.flatnonzero(~outcome.good).tolist()
    return {
        "bytes": path.stat().st_size,
        "shape": list(shape),
        "preprocessing": spec.hash,
        "bad": bad,
        "rejects": list(outcome.rejects),
    }


def _is_whole(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def fetch_pixels(file: PixelFile, folder: Path) -> Path:
    """Copy a file from its node into `folder` here, once for all workers of this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / Path(file.path).name
    with open(folder / f"{path.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_whole(path, file.bytes):
            there = NodeAffinitySchedulingStrategy(file.node, soft=False)
            task: Any = ray.remote(num_cpus=0, num_returns="streaming")(_read_chunks)
            refs = task.options(scheduling_strategy=there).remote(file.path)
            parts: Any = map(ray.get, refs)
            with storage.filling(str(path)) as temporary, open(temporary, "wb") as copy:
                for part in parts:
                    copy.write(part)
    return path


def _read_chunks(path: str) -> Generator[npt.NDArray[np.uint8]]:
    with open(path, "rb") as file:
        while data := file.read(_CHUNK_BYTES):
            yield np.frombuffer(data, np.uint8)
