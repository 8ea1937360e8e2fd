"""Fetches and decodes batches of entries in this process; what fails becomes rows."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model.errors import DecodeError
from model.faces.crops import Crops, Wanted, crops_of
from model.faces.face import Face
from model.preprocessing import InputSpec
from pipelines.images.guarded_decoder import Decode
from pipelines.storage.fetching import ReadFailure, fetch_all

# In the quarantine, and no failures: an image like any other, but of nobody; a file that lies
# beside images and is none by its name.
NO_FACE, NO_IMAGE_NAME = "no_face", "not_an_image_name"
NOT_A_CROP = "not_a_crop"  # where `faces` auto has chosen crops, which this image is none of
NOT_LISTED = "not_listed"  # a folder or an archive, whose images are lost to the run


@dataclasses.dataclass(frozen=True)
class Crop:
    """What is known of one of the images that go to the network.

    Attributes:
        uri: of the image.
        width: of the upright image, pixels.
        height: likewise.
        face: None where the image is a face crop.
        number: of the face, 0 for the largest.
        count: faces of the image that go to the network.
    """

    uri: str
    width: int
    height: int
    face: Face | None = None
    number: int = 0
    count: int = 1


@dataclasses.dataclass(frozen=True)
class CropShape:
    """What the face crops of a run look like, by a sample of them.

    Attributes:
        min_aspect: width by height.
        max_aspect: likewise.
        max_side_px: of the longer side.
    """

    min_aspect: float
    max_aspect: float
    max_side_px: int

    @classmethod
    def of(cls, sizes: Sequence[tuple[int, int]]) -> "CropShape":
        """That of some crops, given as (width, height)."""
        aspects = [width / height for width, height in sizes]
        return cls(min(aspects), max(aspects), max(map(max, sizes)))

    def why_not(self, crops: Crops) -> str | None:
        """Why an image is no such crop; None where it may be one."""
        width, height = crops.width, crops.height
        aspect = width / height
        if not self.min_aspect / _ASPECT_ROOM <= aspect <= self.max_aspect * _ASPECT_ROOM:
            why = f"{width}x{height} pixels is another shape than that of the run's face crops"
        elif max(width, height) > _SIDE_ROOM * self.max_side_px:
            why = f"{width}x{height} pixels is far larger than the run's face crops"
        elif np.ptp(crops.pixels[0, ::4, ::4], axis=(0, 1)).max() < _MIN_LEVELS:
            why = "it is of one colour"
        else:
            return None
        return f"{why}: score it in a run of its own that detects faces"


@dataclasses.dataclass
class DecodedBatch:
    """A batch on its way to the network, and what could not be read or decoded.

    Attributes:
        pixels: uint8 (n, height, width, channels).
        crops: n of them.
        rejected: rows of `QUARANTINE_SCHEMA`.
        pictures: of which the last crop is in this batch.
        skipped: faces of these images that do not count.
    """

    pixels: npt.NDArray[np.uint8]
    crops: list[Crop] = dataclasses.field(default_factory=list[Crop])
    rejected: list[dict[str, Any]] = dataclasses.field(default_factory=list[dict[str, Any]])
    pictures: int = 0
    skipped: int = 0

    @property
    def inputs(self) -> int:
        """Inputs that are done with this batch."""
        return self.pictures + len(self.rejected)


_ASPECT_ROOM, _SIDE_ROOM = 1.25, 2
_MIN_LEVELS = 6  # of 256, from the darkest to the lightest pixel of a colour

# (manifest rows, what the network takes, images a batch) -> decoded batches, in order
DecodeEntries = Callable[[list[dict[str, Any]], InputSpec, int], Iterator[DecodedBatch]]


def decode_entries_with(
    decode: Decode, wanted: Wanted = None, shape: CropShape | None = None
) -> DecodeEntries:
    """`decode_entries` with another decoder, for faces, or for crops of a known shape."""
    return functools.partial(decode_entries, decode=decode, wanted=wanted, shape=shape)


def decode_entries(
    entries: list[dict[str, Any]],
    spec: InputSpec,
    batch_size: int,
    decode: Decode = crops_of,
    wanted: Wanted = None,
    shape: CropShape | None = None,
) -> Iterator[DecodedBatch]:
    """Fetch and decode manifest rows, in order, in this process.

    Args:
        entries: rows with uri and maybe offset, bytes.
        spec: what the network takes.
        batch_size: images of each batch; the last has what is left, maybe none. The faces of a
            image may go on in the next batch.
        decode: `crops_of`, or the same with a guard around it.
        wanted: what of each image.
        shape: of face crops; what is none becomes a row of the quarantine.

    Raises:
        OSError: the store fails; no row is made of that.
    """
    batch = _empty_batch(spec, batch_size)
    for entry, data in zip(entries, fetch_all(entries), strict=True):
        try:
            if isinstance(data, ReadFailure):
                raise data
            crops = decode(data, spec, wanted)
        except ReadFailure as error:
            batch.rejected.append(rejection(entry, "read", error.reason, str(error)))
            continue
        except DecodeError as error:
            batch.rejected.append(
                rejection(entry | _size(data), "decode", error.reason, str(error))
            )
            continue
        batch.skipped += crops.skipped
        if crops.faces == ():
            entry = entry | _size(data)
            batch.rejected.append(rejection(entry, "detect", NO_FACE, _why_none(crops)))
            continue
        if shape is not None and (why := shape.why_not(crops)) is not None:
            batch.rejected.append(rejection(entry | _size(data), "detect", NOT_A_CROP, why))
            continue
        described = _described(entry["uri"], crops)
        for pixels, crop in zip(crops.pixels, described, strict=True):
            if len(batch.crops) == batch_size:
                yield batch
                batch = _empty_batch(spec, batch_size)
            batch.pixels[len(batch.crops)] = pixels
            batch.crops.append(crop)
        batch.pictures += 1
    batch.pixels = batch.pixels[: len(batch.crops)]
    yield batch


def _size(data: bytes | ReadFailure) -> dict[str, int]:
    return {} if isinstance(data, ReadFailure) else {"bytes": len(data)}


def _why_none(crops: Crops) -> str:
    """What to say of an image without a face that counts."""
    if not crops.skipped:
        return "no face was detected"
    those = "the only face is" if crops.skipped == 1 else f"all {crops.skipped} faces are"
    return f"{those} smaller than the minimum size"


def _described(uri: str, crops: Crops) -> Iterator[Crop]:
    if crops.faces is None:
        yield Crop(uri, crops.width, crops.height)
        return
    for number, face in enumerate(crops.faces):
        yield Crop(uri, crops.width, crops.height, face, number, len(crops.faces))


def _empty_batch(spec: InputSpec, batch_size: int) -> DecodedBatch:
    return DecodedBatch(np.empty((batch_size, *spec.shape), dtype=np.uint8))


def rejection(entry: Mapping[str, Any], stage: str, error: str, message: str) -> dict[str, Any]:
    """A row of the quarantine: `predictions.schemas.QUARANTINE_SCHEMA`."""
    known = {"uri": entry["uri"], "bytes": entry.get("bytes")}
    return {**known, "stage": stage, "error": error, "message": message}
