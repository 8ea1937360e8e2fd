"""A manifest's images as one uint8 array: decoded once by Ray Data, then indexed by trainers.

An image that kills or hangs its decoder costs the task that met it one try; a task that is tried
again decodes in a process of its own (pipelines/images/guarded_decoder.py), so that the guilty
one is a reject.
"""

import contextlib
import dataclasses
import math
import threading
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray

from model.errors import DecodeError, ManifestError
from model.preprocessing import InputSpec
from pipelines.cluster.errors import plain_errors
from pipelines.cluster.private import is_retried_task
from pipelines.images.guarded_decoder import (
    DECODER,
    TIMEOUT_S,
    Decode,
    IsolatedDecoder,
    ended_at_once,
    find_decoder,
)
from pipelines.storage.fetching import ReadFailure, fetch_all
from pipelines.telemetry.progress import Progress

_PART_BYTES = 2**30  # UTKFace's train split at 96x96 RGB is a third of it
_READ = ("uri", "offset", "bytes", "face_landmarks")
_QUIET_S = 10  # a cold Ray worker starts in some seconds
_BLOCK_ROWS = 500  # about 0.2 s of decoding a task; 128x128 grey makes 8 MB


@dataclasses.dataclass(frozen=True)
class DecodedImages:
    """Pixels uint8 (n, height, width, channels), the manifest rows they belong to, and rejects.

    `sizes` int32 (n, 2) are the images' own width and height.
    """

    pixels: npt.NDArray[np.uint8]
    rows: npt.NDArray[np.int64]
    rejects: tuple[str, ...]
    sizes: npt.NDArray[np.int32]


def decode_batch(
    batch: pa.Table, spec: InputSpec, decoder: str, timeout_s: float
) -> dict[str, npt.NDArray[Any]]:
    """Fetch and decode: row, uri, offset, bytes, face_landmarks -> row, pixels, size, error.

    Args:
        batch: what to decode.
        spec: what the network takes.
        decoder: `module:function`.
        timeout_s: of one image.

    Returns:
        Arrays of as many rows; error is '' where all is good.
    """
    with guarded_in_task(decoder, timeout_s) as decode:
        return _decoded(batch, spec, decode)


@contextlib.contextmanager
def guarded_in_task(decoder: str, timeout_s: float) -> Generator[Decode]:
    """The decoder for a Ray task: in this process, and apart once the task has died of one."""
    if not is_retried_task():
        yield ended_at_once(find_decoder(decoder), timeout_s)
        return
    with contextlib.closing(IsolatedDecoder(decoder, timeout_s)) as isolated:
        yield isolated


def _decoded(batch: pa.Table, spec: InputSpec, decode: Decode) -> dict[str, npt.NDArray[Any]]:
    entries: list[dict[str, Any]] = batch.to_pylist()
    pixels = np.zeros((len(entries), *spec.shape), dtype=np.uint8)
    sizes = np.zeros((len(entries), 2), dtype=np.int32)
    errors = [""] * len(entries)
    for i, data in enumerate(fetch_all(entries)):
        try:
            if isinstance(data, ReadFailure):
                raise data
            points = entries[i].get("face_landmarks")
            crops = decode(data, spec, tuple(points) if points else None)
            pixels[i], sizes[i] = crops.pixels[0], (crops.width, crops.height)
        except (DecodeError, ReadFailure) as error:
            errors[i] = f"{entries[i]['uri']}: {error.reason}: {error}"
    return {
        "row": np.array([entry["row"] for entry in entries], dtype=np.int64),
        "pixels": pixels,
        "size": sizes,
        "error": np.array(errors, dtype=object),
    }


@dataclasses.dataclass(frozen=True)
class DecodeOutcome:
    """Which images of a manifest became pixels.

    Attributes:
        good: bool (n,).
        sizes: int32 (n, 2), width and height of the images; 0 where not good.
        rejects: a sentence for each that is not good.
    """

    good: npt.NDArray[np.bool_]
    sizes: npt.NDArray[np.int32]
    rejects: tuple[str, ...]


def decode_into(
    table: pa.Table,
    spec: InputSpec,
    pixels: npt.NDArray[np.uint8],
    title: str,
    decoder: str = DECODER,
    timeout_s: float = TIMEOUT_S,
) -> DecodeOutcome:
    """Decode all images of a manifest into `pixels` (n, height, width, channels), in row order.

    Args:
        table: rows of a manifest.
        spec: what the network takes.
        pixels: filled.
        title: of the progress lines.
        decoder: `module:function`.
        timeout_s: of one image.

    Raises:
        ManifestError: not one image could be decoded.
        StorageError: the images cannot be read.
    """
    count = table.num_rows
    names = [name for name in _READ if name in table.column_names]
    numbered = table.select(names).append_column("row", pa.array(np.arange(count)))
    blocks: list[Any] = [
        numbered.slice(start, _BLOCK_ROWS) for start in range(0, count, _BLOCK_ROWS)
    ]
    decode: Any = decode_batch  # Ray's stubs know no function with keyword arguments
    settings = {"spec": spec, "decoder": decoder, "timeout_s": timeout_s}
    sizes = np.zeros((count, 2), dtype=np.int32)
    good = np.zeros(count, dtype=bool)
    rejects: list[str] = []
    progress = Progress(title, count)
    with plain_errors(), _noted_if_idle(progress):
        decoded = ray.data.from_arrow(blocks).map_batches(  # from_arrow waits for a core too
            decode, batch_size=None, batch_format="pyarrow", fn_kwargs=settings
        )
        batches: Any = decoded.iter_batches(batch_size=None, prefetch_batches=1)
        for batch in batches:
            usable = batch["error"] == ""
            pixels[batch["row"][usable]] = batch["pixels"][usable]
            sizes[batch["row"][usable]] = batch["size"][usable]
            good[batch["row"][usable]] = True
            rejects += [str(text) for text in batch["error"][~usable]]
            progress.advance(len(batch["row"]))
    progress.close()
    if not good.any():
        raise ManifestError(f"none of the manifest's {count} images can be decoded: {rejects[0]}")
    return DecodeOutcome(good, sizes, tuple(rejects))


@contextlib.contextmanager
def _noted_if_idle(progress: Progress) -> Generator[None]:
    """Say why after a while, if not one image is decoded by then: Ray waits without a word."""

    def show_reason() -> None:
        if not progress.done:
            progress.show("waiting: all cores are in use, or the storage of the images is slow")

    timer = threading.Timer(_QUIET_S, show_reason)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def decode_in_parts(
    table: pa.Table, spec: InputSpec, title: str, part_bytes: int = _PART_BYTES
) -> Iterator[tuple[pa.Table, DecodedImages]]:
    """Decode a manifest of any size, some of it in memory at a time.

    Args:
        table: rows of a manifest.
        spec: what the network takes.
        title: of the progress lines.
        part_bytes: pixels in memory at once.

    Yields:
        (the rows of a part that could be decoded, their pixels), in the manifest's order.

    Raises:
        ManifestError: not one image could be decoded.
    """
    rows = max(1, part_bytes // math.prod(spec.shape))
    failure: ManifestError | None = None
    good = 0
    for start in range(0, table.num_rows, rows):
        part = table.slice(start, rows)
        try:
            images = decode_manifest(part, spec, title)
        except ManifestError as error:  # a last part may be one bad image
            failure = error
            continue
        good += len(images.rows)
        yield part.take(pa.array(images.rows, pa.int64())), images
    if failure and not good:
        raise failure


def decode_manifest(table: pa.Table, spec: InputSpec, title: str = "decode") -> DecodedImages:
    """Decode all images of a manifest into memory, in its row order.

    Raises:
        ManifestError: not one image could be decoded.
    """
    pixels = np.empty((table.num_rows, *spec.shape), dtype=np.uint8)
    outcome = decode_into(table, spec, pixels, title)
    rows, sizes = np.flatnonzero(outcome.good), outcome.sizes
    if not outcome.good.all():
        pixels, sizes = pixels[rows], sizes[rows]
    return DecodedImages(pixels, rows, outcome.rejects, sizes)
