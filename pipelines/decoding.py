"""A manifest's images as one uint8 array: decoded once by Ray Data, then indexed by trainers."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray

from model.errors import DecodeError, ManifestError
from model.preprocessing import InputSpec, decode_image
from pipelines import storage
from pipelines.progress import Progress

_BLOCK_ROWS = 500  # about 0.2 s of decoding a task; 128x128 grey makes 8 MB
_READ_THREADS = 16


@dataclasses.dataclass(frozen=True)
class DecodedImages:
    """Pixels uint8 (n, height, width, channels), the manifest rows they belong to, and rejects."""

    pixels: npt.NDArray[np.uint8]
    rows: npt.NDArray[np.int64]
    rejects: tuple[str, ...]


def decode_batch(batch: pa.Table, spec: InputSpec) -> dict[str, npt.NDArray[Any]]:
    """Fetch and decode: columns row, uri, offset, bytes -> row, pixels, error ('' where good)."""
    entries = batch.to_pylist()

    def fetch(entry: dict[str, Any]) -> bytes | DecodeError:
        try:
            return storage.read_bytes(entry["uri"], entry["offset"], entry["bytes"])
        except FileNotFoundError as error:
            return DecodeError("not_found", str(error))

    remote = bool(entries) and entries[0]["uri"].startswith("s3://")
    with ThreadPoolExecutor(_READ_THREADS if remote else 1) as pool:
        fetched = list(pool.map(fetch, entries))
    pixels = np.zeros((len(entries), *spec.shape), dtype=np.uint8)
    errors = [""] * len(entries)
    for i, data in enumerate(fetched):
        try:
            if isinstance(data, DecodeError):
                raise data
            pixels[i] = decode_image(data, spec).pixels
        except DecodeError as error:
            errors[i] = f"{entries[i]['uri']}: {error.reason}: {error}"
    return {
        "row": np.array([entry["row"] for entry in entries], dtype=np.int64),
        "pixels": pixels,
        "error": np.array(errors, dtype=object),
    }


def decode_manifest(table: pa.Table, spec: InputSpec, title: str = "decode") -> DecodedImages:
    """Decode all images of a manifest, in its row order.

    Raises:
        ManifestError: not one image could be decoded.
    """
    count = table.num_rows
    numbered = table.select(["uri", "offset", "bytes"]).append_column(
        "row", pa.array(np.arange(count))
    )
    blocks = [numbered.slice(start, _BLOCK_ROWS) for start in range(0, count, _BLOCK_ROWS)]
    decoded = ray.data.from_arrow(blocks).map_batches(
        decode_batch, batch_size=None, batch_format="pyarrow", fn_kwargs={"spec": spec}
    )
    pixels = np.empty((count, *spec.shape), dtype=np.uint8)
    good = np.zeros(count, dtype=bool)
    rejects: list[str] = []
    progress = Progress(title, count)
    for batch in decoded.iter_batches(batch_size=None, prefetch_batches=1):
        usable = batch["error"] == ""
        pixels[batch["row"][usable]] = batch["pixels"][usable]
        good[batch["row"][usable]] = True
        rejects += [str(text) for text in batch["error"][~usable]]
        progress.advance(len(batch["row"]))
    progress.close()
    if not good.any():
        raise ManifestError(f"none of the manifest's {count} images can be decoded: {rejects[0]}")
    rows = np.flatnonzero(good)
    return DecodedImages(pixels if good.all() else pixels[rows], rows, tuple(rejects))
