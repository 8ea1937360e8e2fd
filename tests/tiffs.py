"""TIFFs of our own making, with tags and layouts that Pillow does not write."""

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_FORMATS = {3: "H", 4: "I"}

Tags = dict[int, tuple[int, Sequence[int]]]


def _page(at: int, order: str, samples: npt.NDArray[np.generic], tags: Tags, last: bool) -> bytes:
    """Its samples, then its directory; `at` is where the page begins in the file."""
    height, width = samples.shape[-2:] if tags.get(284) == (3, (2,)) else samples.shape[:2]
    body, planes = samples.tobytes(), 1 if tags.get(284) != (3, (2,)) else len(samples)
    body += bytes(len(body) % 2)
    size = len(samples.tobytes()) // planes
    usual: Tags = {
        256: (4, (width,)), 257: (4, (height,)), 259: (3, (1,)), 278: (4, (height,)),
        273: (4, tuple(at + size * k for k in range(planes))), 279: (4, (size,) * planes),
    }  # fmt: skip
    entries, extra = b"", b""
    everything = sorted({**usual, **tags}.items())
    free = at + len(body) + 2 + 12 * len(everything) + 4
    for tag, (kind, values) in everything:
        packed = struct.pack(f"{order}{len(values)}{_FORMATS[kind]}", *values)
        if len(packed) > 4:
            place = struct.pack(order + "I", free + len(extra))
            extra += packed + bytes(len(packed) % 2)
            packed = place
        entries += struct.pack(order + "HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    link = 0 if last else free + len(extra)
    directory = struct.pack(order + "H", len(everything)) + entries + struct.pack(order + "I", link)
    return body + directory + extra


def tiff(*pages: tuple[npt.NDArray[np.generic], Tags], order: str = "<") -> bytes:
    """Pages of (samples, tags), uncompressed; `order` as of `struct`."""
    data = b""
    firsts = []
    for k, (samples, tags) in enumerate(pages):
        is_last = k == len(pages) - 1
        at = 8 + len(data)
        made = _page(at, order, samples, tags, is_last)
        if not is_last:  # the next directory lies behind the next page's samples
            behind = pages[k + 1][0].nbytes
            start = at + len(made) + behind + behind % 2
            directory = at + samples.nbytes + samples.nbytes % 2
            count = struct.unpack(order + "H", made[directory - at : directory - at + 2])[0]
            link = directory - at + 2 + 12 * count
            made = made[:link] + struct.pack(order + "I", start) + made[link + 4 :]
        firsts.append(at + samples.nbytes + samples.nbytes % 2)
        data += made
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", firsts[0]) + data


def grey(photometric: int, bits: int = 16) -> Tags:
    """Tags of one sample a pixel."""
    return {258: (3, (bits,)), 262: (3, (photometric,)), 277: (3, (1,))}
