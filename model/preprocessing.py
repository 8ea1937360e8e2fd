"""From the bytes of an image file to the uint8 array that the network takes.

One function for training and scoring, versioned and hashed; its spec is saved in the bundle.
Scaling to [0, 1] is the network's first layer, so only uint8 leaves this module.
Never imports TensorFlow: a decode worker that loads it costs 500 MB.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from model.faces.alignment import Alignment
from model.pictures import PREPROCESSING_VERSION, decode_picture

_USUAL_OVERSAMPLE = 4


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """What the network takes: uint8 of shape (height, width, 1 or 3), range 0-255.

    Attributes:
        height: rows of pixels.
        width: columns of pixels.
        color: grey is ITU-R 601 luma.
        resample: Pillow's filter from the decoded image to this size.
        version: of the code that makes the pixels.
        jpeg_oversample: a JPEG is decoded at the smallest scale of 1, 1/2, 1/4 and 1/8 that keeps
            so many times the larger side of this size. At 1 most of the shrinking is the JPEG
            decoder's, which is cheaper than a filter over all pixels: docs/benchmarks/decoding.md.
        alignment: where the points of a face lie; None for a network that learned from images
            as they are, to which faces are given as UTKFace's chips show them.
    """

    height: int = 128
    width: int = 128
    color: Literal["grey", "rgb"] = "grey"
    resample: Literal["lanczos", "bilinear"] = "lanczos"
    version: int = PREPROCESSING_VERSION
    jpeg_oversample: int = _USUAL_OVERSAMPLE
    alignment: Alignment | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return (self.height, self.width, 1 if self.color == "grey" else 3)

    @property
    def hash(self) -> str:
        """16 hex digits over all that can change a pixel."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` takes back."""
        data = dataclasses.asdict(self)
        # Left out where they are as ever, so that specs without them keep their hash.
        if self.jpeg_oversample == _USUAL_OVERSAMPLE:
            del data["jpeg_oversample"]
        if self.alignment is None:
            del data["alignment"]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "InputSpec":
        """The spec that `to_json` described."""
        fields = dict(data)
        if (alignment := fields.get("alignment")) is not None:
            fields["alignment"] = Alignment.from_json(alignment)
        return cls(**fields)


@dataclasses.dataclass(frozen=True)
class DecodedImage:
    """Pixels (uint8, `InputSpec.shape`) and the image's own upright size in pixels."""

    pixels: npt.NDArray[np.uint8]
    width: int
    height: int


def decode_image(data: bytes, spec: InputSpec) -> DecodedImage:
    """Decode as `decode_picture` does, and resize.

    A JPEG far larger than the target is decoded at a reduced scale (1/2, 1/4, 1/8), which keeps a
    12-megapixel photo affordable: see `InputSpec.jpeg_oversample`. UTKFace's 200x200 files decode
    whole for the notebook's networks, and at half scale for a 96x96 network that asks for 1x.

    Args:
        data: the whole file.
        spec: the shape and colour to produce.

    Returns:
        A `DecodedImage` with pixels of shape `spec.shape`.

    Raises:
        DecodeError: as `decode_picture`.
    """
    side = spec.jpeg_oversample * max(spec.width, spec.height)
    picture = decode_picture(data, spec.color, spec.version, lambda width, height: (side, side))
    image = picture.image
    if image.size != (spec.width, spec.height):
        image = image.resize((spec.width, spec.height), Image.Resampling[spec.resample.upper()])
    return DecodedImage(np.asarray(image).reshape(spec.shape), picture.width, picture.height)
