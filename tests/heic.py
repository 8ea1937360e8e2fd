"""HEIC files of the tests: tests/data/*.heic, and the same with other properties put in."""

import struct
from pathlib import Path

FOLDER = Path(__file__).parent / "data"


def heic(name: str = "plain") -> bytes:
    """A file of tests/data, whose README says how it was made."""
    return (FOLDER / f"{name}.heic").read_bytes()


def box(name: bytes, body: bytes) -> bytes:
    """A box of an ISO media file (ISO 14496-12, 4.2)."""
    return struct.pack(">I4s", 8 + len(body), name) + body


def turned(times: int) -> bytes:
    """The picture, to be shown turned by 90 degrees so many times against the clock."""
    return with_property(heic(), box(b"irot", bytes([times])))


def with_property(data: bytes, added: bytes) -> bytes:
    """A file of ours whose picture has one more property (ISO 23008-12, 6.5).

    The property goes to the end of ipco; the last association of ipma, which is the picture's,
    grows by its number; sizes and the place of the pixels follow.
    """
    whole = bytearray(data)
    ipma = whole.index(b"ipma") - 4
    (size,) = struct.unpack_from(">I", whole, ipma)
    ipco = whole.index(b"ipco") - 4
    number, at = 1, ipco + 8
    while at < ipma:
        at += struct.unpack_from(">I", whole, at)[0]
        number += 1
    pixels = whole.index(b"mdat") + 4
    counts = ipma + 16  # of the entries: (item, number of properties, the properties)
    (entries,) = struct.unpack_from(">I", whole, ipma + 12)
    for _ in range(entries):
        count_at = counts + 2
        counts = count_at + 1 + whole[count_at]
    whole[count_at] += 1
    grown = len(added) + 1
    for name, by in ((b"meta", grown), (b"iprp", grown), (b"ipco", len(added)), (b"ipma", 1)):
        place = whole.index(name) - 4
        struct.pack_into(">I", whole, place, struct.unpack_from(">I", whole, place)[0] + by)
    iloc = whole.index(b"iloc")
    while (at := whole.find(struct.pack(">I", pixels), iloc, ipco)) >= 0:
        struct.pack_into(">I", whole, at, pixels + grown)
    end = ipma + size
    return bytes(whole[:ipma] + added + whole[ipma:end] + bytes([number]) + whole[end:])
