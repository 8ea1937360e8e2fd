"""Inputs of every kind that a bucket holds, and the row that each shall become.

`python -m tests.corpus` writes docs/inputs.md from it; tests/pipelines/images/test_corpus.py
makes every file, scores it and compares.
"""

import base64
import dataclasses
import gzip
import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from demo.drawn_faces import draw_face
from model.colours import DISPLAY_P3, SRGB, profile_of
from model.pictures import MAX_PIXELS, MIN_SIDE_PX
from tests.heic import heic, turned
from tests.robustness.deadly import poisoned
from tests.tiffs import Tags, grey, tiff

DOCUMENT = Path(__file__).parents[1] / "docs" / "inputs.md"
SCORED = "scored"
# A face of 48x48 that `jpegtran -arithmetic` made: Pillow reads such files and cannot write them.
_ARITHMETIC = """
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWGkJ
6jq62rZ4C8ybqmx5moq6T/yQALCAAwADABAREA/8wABgAQEAX/2gAIAQEAAD8Aze+6cB6/WTeSWP0ZdAAw7s0AmqIO737B/Oay
aqQu3whPZGinRu3RNU9c9fpfnelI6vgtDkcTgKellVs605s12hgbi1tdms8H7meOCobKvwswMzSShzfRQ+RTMFA4sjuIvjcekC
SlJuMhk83+bX+XFr5vWCa7wrebT2Uo/wDEuVv0Pi3TZf8AO7GBRsNaS1cujYWs7JieCeDkenp+YsQPnQdvquJ1mzoRkWSvFpNU
EA0YV5ah+PnbZEnD/Pr/AA6b8P/Z
"""
XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description
 xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>"""
SIDES = struct.pack(">HH", 200, 200)  # of `face`, in the header of its JPEG
_SIZES = {"JPEG": {"quality": 92}, "WEBP": {"quality": 90}}


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
        title: for people.
        name: of the file.
        outcome: `scored`, or `stage: error`.
        make: writes it at the path it is given; None where the listing names what is not there.
        note: what a reader may want to know.
        alone: only in a list (manifest), as a listing of the folder does not show it.
    """

    title: str
    name: str
    outcome: str
    make: Callable[[Path], None] | None
    note: str = ""
    alone: bool = False


def face() -> Image.Image:
    """The picture that most kinds are made of."""
    return draw_face(seed=1, index=0)[1]


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """An image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **(_SIZES.get(kind, {}) | options))
    return buffer.getvalue()


def saved(change: Callable[[Image.Image], Image.Image], kind: str = "JPEG", **options: Any) -> Any:
    """A maker: the face, changed, saved."""
    return lambda path: path.write_bytes(encoded(change(face()), kind, **options))


def same(image: Image.Image) -> Image.Image:
    """The image."""
    return image


def damaged(change: Callable[[bytes], bytes], kind: str = "JPEG") -> Any:
    """A maker: the face saved, then its bytes changed."""
    return lambda path: path.write_bytes(change(encoded(face(), kind)))


def content(data: bytes) -> Any:
    """A maker: these bytes."""
    return lambda path: path.write_bytes(data)


def as_mode(mode: str) -> Callable[[Image.Image], Image.Image]:
    """A change: to another Pillow mode."""
    return lambda image: image.convert(mode)


def of_size(width: int, height: int) -> Callable[[Image.Image], Image.Image]:
    """A change: to another size."""
    return lambda image: image.resize((width, height))


def segment(marker: int, body: bytes) -> Callable[[bytes], bytes]:
    """A change: a JPEG segment put after the start."""
    return lambda data: (
        data[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + data[2:]
    )


def after_header(byte: int, offset: int) -> Callable[[bytes], bytes]:
    """A change: one byte of the frame header (SOF0), counted from its marker."""

    def change(data: bytes) -> bytes:
        at = data.index(b"\xff\xc0") + offset
        return data[:at] + bytes([byte]) + data[at + 1 :]

    return change


def oriented(value: int) -> Any:
    """A maker: a JPEG with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = value
    return saved(same, exif=exif)


def sixteen_bit(path: Path) -> None:
    """A 16-bit grey PNG."""
    grey = np.asarray(face().convert("L")).astype(np.uint16) * 257
    path.write_bytes(encoded(Image.fromarray(grey), "PNG"))


def twelve_bit(path: Path) -> None:
    """A grey PNG of 12 bits in 16, which its sBIT chunk declares."""
    grey = np.asarray(face().convert("L")).astype(np.uint16) * 16
    data, body = encoded(Image.fromarray(grey), "PNG"), b"sBIT\x0c"
    at = data.index(b"IDAT") - 4
    whole = struct.pack(">I", 1) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(data[:at] + whole + data[at:])


def png(width: int, height: int, depth: int, color: int, raw: bytes) -> bytes:
    """A PNG from its raw scan lines."""
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [_chunk(b"IHDR", head), _chunk(b"IDAT", zlib.compress(raw)), _chunk(b"IEND", b"")]
    )


def _chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def animated(kind: str) -> Any:
    """A maker: three frames."""
    frames = [face().rotate(angle) for angle in (0, 90, 180)]
    return lambda path: path.write_bytes(
        encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    )


def gif_screen(width: int, height: int) -> Callable[[bytes], bytes]:
    """A change: the size that a GIF claims."""
    return lambda data: data[:6] + struct.pack("<HH", width, height) + data[10:]


def heif(brand: bytes) -> bytes:
    """The start of an ISO media file, as phones write."""
    return struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + b"mif1" + brand + bytes(200)


def no_end(data: bytes) -> bytes:
    """A JPEG without its end marker."""
    return data[:-2]


def wrong_sum(data: bytes) -> bytes:
    """A PNG of one IDAT whose stream's own checksum is wrong."""
    at = data.index(b"IDAT")
    (size,) = struct.unpack(">I", data[at - 4 : at])
    stream = data[at + 4 : at + size] + b"sum?"
    return data[: at - 4] + _chunk(b"IDAT", stream) + data[at + size + 8 :]


def apple_png(path: Path) -> None:
    """What Xcode makes of a PNG in an app: one more chunk, and a stream without zlib's header."""
    data = encoded(face(), "PNG")
    at = data.index(b"IDAT")
    (size,) = struct.unpack(">I", data[at - 4 : at])
    stream = _chunk(b"IDAT", data[at + 6 : at + size])
    path.write_bytes(
        data[:8] + _chunk(b"CgBI", bytes(4)) + data[8 : at - 4] + stream + data[at + size + 8 :]
    )


def small_frame(path: Path) -> None:
    """A GIF whose screen is larger than its first frame."""
    path.write_bytes(gif_screen(64, 64)(encoded(face().quantize(200), "GIF")))


def linear_grey(path: Path) -> None:
    """A grey PNG whose samples are light itself, as its gAMA chunk says."""
    light = (np.asarray(face().convert("L")) / 255.0) ** 2.2
    rows = b"".join(b"\0" + row.tobytes() for row in (255 * light).round().astype(np.uint8))
    data = png(face().width, face().height, 8, 0, rows)
    path.write_bytes(data[:33] + _chunk(b"gAMA", struct.pack(">I", 100_000)) + data[33:])


def odd_tiffs() -> Iterator[tuple[str, str, bytes, str]]:
    """(title, outcome, file, note) of TIFFs that Pillow would take for something else."""
    color = np.asarray(face())
    level = np.asarray(face().convert("L")).astype("<u2") * 257
    rgb: Tags = {258: (3, (8, 8, 8)), 262: (3, (2,)), 277: (3, (3,))}
    small: Tags = {**rgb, 254: (4, (1,))}
    planes = np.moveaxis(color, -1, 0).astype("<u2") * 257
    deep: Tags = {**rgb, 258: (3, (16, 16, 16)), 284: (3, (2,))}
    signed: Tags = {**grey(1, 8), 339: (3, (2,))}
    floats: Tags = {**rgb, 258: (3, (32, 32, 32)), 339: (3, (3, 3, 3))}
    thumbnail, unread = color[::4, ::4].copy(), "decode: unsupported"
    yield "TIFF behind a thumbnail", SCORED, tiff((thumbnail, small), (color, rgb)), "the picture"
    yield "16-bit grey TIFF, 0 is white", SCORED, tiff((65535 - level, grey(0))), ""
    yield "16-bit RGB TIFF in planes", SCORED, tiff((planes, deep)), ""
    yield "float RGB TIFF", unread, tiff((color.astype("<f4"), floats)), "no known white level"
    yield "signed 8-bit TIFF", unread, tiff(((color[..., 0] // 2).astype("i1"), signed)), "as above"
    yield "TIFF compressed by WebP", unread, tiff((color, {**rgb, 259: (3, (50001,))})), ""
    raw = tiff((thumbnail, {**small, 50706: (3, (1, 4))}))
    yield "raw picture of a camera (DNG)", unread, raw, "never its thumbnail"


def bmp_with_alpha(alpha: int, level: int = 60, side: int = 32) -> bytes:
    """A flat BMP of four bytes a pixel, the fourth of which a mask calls alpha (BITMAPV4HEADER)."""
    body = bytes([level, level, level, alpha]) * side * side
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<IiiHHIIiiII", 108, side, side, 1, 32, 3, len(body), 0, 0, 0, 0) + masks
    return b"BM" + struct.pack("<IHHI", 122 + len(body), 0, 0, 122) + head.ljust(108, b"\0") + body


def link(target: str) -> Any:
    """A maker: a symbolic link."""
    return lambda path: path.symlink_to(target)


def tiff_float(path: Path) -> None:
    """A TIFF of 32-bit float samples."""
    path.write_bytes(encoded(Image.new("F", (64, 64), 0.5), "TIFF"))


def two_pages(path: Path) -> None:
    """A TIFF of two pages, LZW-compressed."""
    options = TiffImagePlugin.ImageFileDirectory_v2()
    image = face()
    path.write_bytes(
        encoded(image, "TIFF", save_all=True, append_images=[image], compression="tiff_lzw",
                tiffinfo=options)
    )  # fmt: skip


def markers(data: bytes) -> Iterator[int]:
    """Where the segments of a JPEG start, and its scan data."""
    at = 2
    while data[at + 1] != 0xDA:
        yield at
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    yield at
    yield at + 2 + int.from_bytes(data[at + 2 : at + 4])


def truncated_everywhere() -> Iterator[tuple[str, bytes]]:
    """A JPEG cut at each marker, in the middle of its scan and just before its last block."""
    data = encoded(face())
    places = list(markers(data))
    for number, at in enumerate([*places, (places[-1] + len(data)) // 2, len(data) - 9]):
        yield f"cut-{number:02d}.jpg", data[:at]


def _good() -> Iterator[Kind]:
    yield Kind("JPEG", "good.jpg", SCORED, saved(same))
    yield Kind("progressive JPEG", "progressive.jpg", SCORED, saved(same, progressive=True))
    yield Kind("grey JPEG", "grey.jpg", SCORED, saved(as_mode("L")))
    arithmetic = content(base64.b64decode(_ARITHMETIC))
    yield Kind("arithmetic-coded JPEG", "arithmetic.jpg", SCORED, arithmetic, "as Pillow brings it")
    yield Kind(
        "CMYK JPEG",
        "cmyk.jpg",
        SCORED,
        saved(as_mode("CMYK")),
        "by its profile, else as Pillow does",
    )
    big = saved(of_size(4000, 3000))
    yield Kind("12-megapixel JPEG", "photo.jpg", SCORED, big, "decoded at a reduced scale")
    huge = saved(lambda image: image.convert("L").resize((10_000, 9_000)))
    note = "decoded at 1/2, 1/4 or 1/8 of its size"
    yield Kind("JPEG of 90 megapixels, as telephones of 108 write", "huge.jpg", SCORED, huge, note)
    for value in range(1, 9):
        yield Kind(
            f"EXIF orientation {value}", f"turned-{value}.jpg", SCORED, oriented(value), "upright"
        )
    yield Kind("EXIF orientation 9", "turned-9.jpg", SCORED, oriented(9), "ignored")
    note = "ignored, as browsers do; EXIF and a TIFF's own tag count"
    for kind, name, how in (
        ("JPEG", "xmp.jpg", {"xmp": XMP}), ("TIFF", "xmp.tif", {"tiffinfo": {700: XMP}}),
    ):  # fmt: skip
        title = f"{kind} whose orientation stands in XMP alone"
        yield Kind(title, name, SCORED, saved(same, kind, **how), note)
    for title, name, change in (
        (
            "damaged EXIF",
            "bad-exif.jpg",
            segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\7" * 90),
        ),
        ("EXIF that is not EXIF", "no-exif.jpg", segment(0xE1, b"Exif\0\0" + b"\xee" * 40)),
        ("damaged colour profile", "bad-icc.jpg", segment(0xE2, b"ICC_PROFILE\0\1\1" + b"\7" * 50)),
        ("bytes after the end", "trailing.jpg", lambda data: data + b"\0" * 1000),
    ):
        yield Kind(title, name, SCORED, damaged(change))
    for title, name, profile, note in (
        ("wide gamut by colour profile (Display P3)", "p3.jpg", profile_of(DISPLAY_P3), "as sRGB"),
        ("sRGB profile", "srgb.jpg", profile_of(SRGB), "as without"),
    ):
        yield Kind(title, name, SCORED, saved(same, icc_profile=profile), note)
    packed = damaged(lambda data: data[:33] + _chunk(b"iCCP", b"name\0\7packed") + data[33:], "PNG")
    yield Kind("PNG with a damaged profile", "bad-icc.png", SCORED, packed, "ignored")
    yield Kind("JPEG of several pictures (MPO)", "stereo.jpg", SCORED, animated("MPO"), "the first")
    for mode in ("RGB", "L", "P", "1", "LA", "RGBA"):
        note = "on white" if mode.endswith("A") else ""
        yield Kind(f"PNG, mode {mode}", f"{mode}.png", SCORED, saved(as_mode(mode), "PNG"), note)
    clear = saved(as_mode("P"), "PNG", transparency=0)
    yield Kind("palette with transparency", "clear.png", SCORED, clear, "on white")
    yield Kind("16-bit grey PNG", "deep.png", SCORED, sixteen_bit, "0 to 65,535 as 0 to 255")
    yield Kind(
        "12-bit grey PNG (sBIT)", "twelve.png", SCORED, twelve_bit, "by the bits it declares"
    )
    yield Kind(
        "PNG with a text of wrong checksum", "text.png", SCORED,
        damaged(lambda data: data[:33] + b"\0\0\0\4tEXtabcd\0\0\0\7" + data[33:], "PNG"), "ignored",
    )  # fmt: skip
    rgb48 = png(16, 16, 16, 2, (b"\0" + b"\x80\x01" * 48) * 16)
    yield Kind("16-bit RGB PNG", "deep-rgb.png", SCORED, content(rgb48), "the high byte counts")
    for kind, name in (("GIF", "moving.gif"), ("WEBP", "moving.webp"), ("PNG", "moving.png")):
        yield Kind(f"animated {kind}", name, SCORED, animated(kind), "the first frame")
    yield Kind("WebP", "plain.webp", SCORED, saved(same, "WEBP"))
    lossless = saved(as_mode("RGBA"), "WEBP", lossless=True)
    yield Kind("lossless WebP with alpha", "alpha.webp", SCORED, lossless, "on white")
    yield Kind("AVIF", "plain.avif", SCORED, saved(same, "AVIF"), "Pillow brings the decoder")
    for title, name, data, note in (
        ("HEIC, as telephones write", "phone-8.heic", heic(), "by the package pi-heif"),
        ("HEIC of 10 bits", "phone-10.heic", heic("deep"), ""),
        ("HEIC that is to be turned", "phone-turned.heic", turned(1), "upright"),
        ("HEIC whose EXIF says so too", "phone-exif.heic", heic("exif"), "EXIF is ignored there"),
        ("HEIC with alpha", "phone-alpha.heic", heic("alpha"), "on white"),
    ):
        yield Kind(title, name, SCORED, content(data), note)
    yield Kind("BMP", "plain.bmp", SCORED, saved(same, "BMP"))
    empty = content(bmp_with_alpha(0))
    yield Kind("BMP whose alpha is all zero", "clear.bmp", SCORED, empty, "opaque, as viewers show")
    yield Kind("TIFF", "plain.tif", SCORED, saved(same, "TIFF"))
    yield Kind("CMYK TIFF", "cmyk.tif", SCORED, saved(as_mode("CMYK"), "TIFF"))
    yield Kind("TIFF of two pages", "pages.tif", SCORED, two_pages, "the first page")
    note = "viewers show it; a progressive one is `truncated`"
    yield Kind("JPEG without its end marker", "no-end.jpg", SCORED, damaged(no_end), note)
    summed = damaged(wrong_sum, "PNG")
    yield Kind("PNG whose stream has a wrong sum", "sum.png", SCORED, summed, "ignored")
    yield Kind("grey PNG with a gamma", "gamma.png", SCORED, linear_grey, "as viewers show it")
    note = "white around it"
    yield Kind("GIF of a small first frame", "small-frame.gif", SCORED, small_frame, note)
    for k, (title, outcome, data, note) in enumerate(odd_tiffs()):
        yield Kind(title, f"odd-{k}.tif", outcome, content(data), note)
    yield Kind("PNG named .jpg", "really-png.jpg", SCORED, saved(same, "PNG"), "the bytes decide")
    yield Kind("JPEG named .png", "really-jpg.png", SCORED, saved(same), "the bytes decide")
    yield Kind("strip of 20000x8", "strip.png", SCORED, saved(of_size(20_000, 8), "PNG"))


def _bad() -> Iterator[Kind]:
    empty, truncated, corrupt = "decode: empty", "decode: truncated", "decode: corrupt"
    other, unsupported = "decode: not_an_image", "decode: unsupported"
    yield Kind("no bytes", "empty.jpg", empty, content(b""))
    yield Kind("text", "text.jpg", other, content(b"not an image\n"))
    yield Kind("HTML error page", "error.jpg", other, content(b"<!DOCTYPE html><h1>404</h1>" * 9))
    yield Kind(
        "XML of a store's error", "denied.jpg", other, content(b"<?xml version='1.0'?><Error/>")
    )
    yield Kind("zeros", "zeros.jpg", other, content(bytes(4000)))
    packed = damaged(lambda data: gzip.compress(data))
    yield Kind("gzip of a JPEG", "packed.jpg", other, packed)
    yield Kind(
        "bytes before the start",
        "leading.jpg",
        other,
        damaged(lambda data: b"\0\0" + data),
        "the row says how many",
    )
    cut = content(heic()[:-100])
    yield Kind("HEIC cut short", "cut.heic", truncated, cut)
    yield Kind("HEIC of nothing", "phone.heic", corrupt, content(heif(b"heic")))
    jpeg = content(heif(b"jpeg"))
    yield Kind("HEIF of another codec", "other.heif", unsupported, jpeg, "only HEVC is read")
    yield Kind("PDF", "paper.jpg", unsupported, content(b"%PDF-1.7\n" + bytes(100)))
    yield Kind(
        "SVG", "drawing.png", unsupported, content(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    )
    yield Kind("JPEG XL", "new.jpg", unsupported, content(b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50)))
    yield Kind("12-bit JPEG", "deep.jpg", unsupported, damaged(after_header(12, 4)))
    yield Kind("lossless JPEG", "lossless.jpg", corrupt, damaged(after_header(0xC3, 1)))
    yield Kind("float TIFF", "float.tif", unsupported, tiff_float, "no known white level")
    yield Kind(
        "32-bit integer TIFF", "integer.tif", unsupported,
        saved(lambda image: image.convert("I"), "TIFF"), "no known white level",
    )  # fmt: skip
    for title, kind in (("JPEG 2000", "JPEG2000"), ("PPM", "PPM"), ("icon (ICO)", "ICO")):
        yield Kind(title, f"{kind.lower()}.png", unsupported, saved(same, kind), "named in the row")
    yield Kind(
        "PNG whose stream ends early", "short.png", truncated,
        content(png(48, 48, 8, 2, (b"\0" + b"\x80" * 144) * 20)),
        "its rows after the 20th were never written",
    )  # fmt: skip
    zeroed = damaged(lambda data: data[: len(data) // 2] + bytes(len(data) // 2), "WEBP")
    yield Kind("WebP or AVIF that ends in zeros", "zeroed.webp", truncated, zeroed)
    yield Kind("JPEG of height 0 (DNL)", "height.jpg", unsupported, damaged(after_header(0, 6)))
    yield Kind("PNG of Apple's own kind (CgBI)", "apple.png", unsupported, apple_png)
    coded = damaged(lambda data: base64.b64encode(data))
    for title, name, make in (
        ("JPEG in base64", "base64.jpg", coded),
        ("JSON of an error", "json.jpg", content(b'\n{"error": "denied"}')),
        ("web page in UTF-16", "wide.jpg", content("<html>404</html>".encode("utf-16"))),
        ("pointer of git-annex or Git LFS", "annex.jpg", content(b"/annex/objects/SHA256E-s1--0")),
    ):
        yield Kind(title, name, other, make, "named in the row")
    half = damaged(lambda data: data[: len(data) // 2], "PNG")
    yield Kind("PNG cut in half", "half.png", truncated, half)
    gif = damaged(lambda data: data[: len(data) // 2], "GIF")
    yield Kind("GIF cut in half", "half.gif", truncated, gif)
    webp = damaged(lambda data: data[: len(data) // 2], "WEBP")
    yield Kind("WebP cut in half", "half.webp", truncated, webp)
    avif = damaged(lambda data: data[: len(data) // 2], "AVIF")
    yield Kind("AVIF cut in half", "half.avif", truncated, avif)
    bmp = damaged(lambda data: data[: len(data) // 2], "BMP")
    yield Kind("BMP cut in half", "half.bmp", truncated, bmp)
    tiff = damaged(lambda data: data[: len(data) // 2], "TIFF")
    yield Kind("TIFF cut in half", "half.tif", truncated, tiff)
    ended = damaged(lambda data: data[: len(data) // 2].rstrip(b"\xff") + b"\xff\xd9")
    yield Kind(
        "JPEG whose end marker comes early", "ended.jpg", truncated, ended,
        "viewers show the rest grey; a progressive one is whole and less sharp",
    )  # fmt: skip
    flipped = damaged(lambda data: data[:100] + bytes([data[100] ^ 255]) + data[101:], "PNG")
    yield Kind("PNG with a flipped byte", "flipped.png", corrupt, flipped)
    yield Kind("1x1", "dot.png", "decode: too_small", saved(of_size(1, 1), "PNG"))
    line = content(png(1, 20_000, 8, 0, b"\0\0" * 20_000))
    yield Kind("1x20000", "line.png", "decode: too_small", line)
    size = struct.pack(">HH", 9_000, 10_000)
    many = damaged(lambda data: data.replace(b"\xff\xc0", b"\xff\xc2").replace(SIDES, size))
    yield Kind("progressive JPEG of 90 megapixels", "huge-progressive.jpg", "decode: too_large",
               many, "decoders hold all of it, whatever the scale")  # fmt: skip
    bomb = content(png(20_000, 20_000, 1, 0, b"\0" * 100))
    yield Kind("20000x20000", "bomb.png", "decode: too_large", bomb, "told by the header")
    screen = damaged(gif_screen(65_535, 65_535), "GIF")
    yield Kind("GIF of 65535x65535", "bomb.gif", "decode: too_large", screen, "told by the header")
    words = content(png(64, 64, 8, 0, b"")[:33] + _text_bomb())
    yield Kind("text chunk of 100 MB", "text-bomb.png", corrupt, words, "Pillow stops at 64 MB")
    for how, error in (("segv", "crashed"), ("hang", "timeout"), ("hog", "out_of_memory")):
        title = {"segv": "crashes the decoder", "hang": "hangs it", "hog": "eats memory"}[how]
        deadly = damaged(lambda data, how=how: poisoned(data, how))
        note = "its worker dies once; its shard is then decoded apart"
        yield Kind(title, f"deadly-{how}.jpg", f"decode: {error}", deadly, note)


def _text_bomb() -> bytes:
    body = b"comment\0\0" + zlib.compress(bytes(100 << 20), 1)
    check = struct.pack(">I", zlib.crc32(b"zTXt" + body))
    return struct.pack(">I", len(body)) + b"zTXt" + body + check


def _places() -> Iterator[Kind]:
    for title, name in (
        ("newline in the name", "new\nline.jpg"),
        ("spaces and quotes", ' it\'s "here" .jpg'),
        ("unicode", "ünïcødé-名前-🙂.jpg"),
        ("%-escapes", "100%25%2F.jpg"),
        ("characters of URLs", "a+b&c=d#e?f.jpg"),
        ("capital suffix", "LOUD.JPG"),
    ):
        yield Kind(title, name, SCORED, saved(same))
    deep = "/".join("d" * 200 for _ in range(5)) + "/far.jpg"
    yield Kind("path of 1,000 characters", deep, SCORED, saved(same))
    yield Kind("link to a picture", "linked.jpg", SCORED, link("good.jpg"))
    yield Kind("changed after it was listed", "changed.jpg", SCORED, saved(same), "as it is now")
    missing = "read: not_found"
    yield Kind("link to nowhere", "broken-link.jpg", missing, link("nowhere.jpg"))
    yield Kind("link to itself", "loop.jpg", missing, link("loop.jpg"))
    yield Kind("gone after it was listed", "gone.jpg", missing, None, alone=True)
    name = os.fsdecode(b"caf\xe9.jpg")
    note = "shown as `caf\\xe9.jpg`; rename it"
    yield Kind("name that is not UTF-8", name, missing, saved(same), note)
    folder: Callable[[Path], None] = lambda path: path.mkdir()  # noqa: E731
    yield Kind("folder named x.jpg", "x.jpg", "read: not_a_file", folder, alone=True)
    yield Kind("pipe", "pipe.jpg", "read: not_a_file", os.mkfifo, "never waited for")
    yield Kind("unreadable", "secret.jpg", "read: denied", saved(same))
    named = "list: not_an_image_name"
    yield Kind("no image suffix", "notes.txt", named, content(b"hello"), "never read")
    packed = content(b"7z\xbc\xaf")
    yield Kind("other archive", "rest.7z", named, packed, "the run says how to unpack it")
    yield Kind("no suffix", "README", named, content(b"hello"), "never read")


KINDS = (*_good(), *_bad(), *_places())


def document() -> str:
    """docs/inputs.md."""
    lines = [
        "# How inputs are handled",
        "",
        "Every input is one row: of predictions, or of quarantine with a stage, an error code",
        "and a message. This page is made by `python -m tests.corpus`. Its test makes each of",
        "these files, scores it and compares. It also cuts a JPEG at each of its markers and in",
        "its scan: every cut is quarantined, as `truncated`, `corrupt` or `not_an_image`.",
        "",
        f"At most {MAX_PIXELS:,} pixels of an image are decoded. Its sides have at least",
        f"{MIN_SIDE_PX} pixels. A larger JPEG is decoded at 1/2, 1/4 or 1/8 of its size, unless",
        "it is progressive; larger images of other formats are `too_large`. The orientation is",
        "taken from EXIF, from the tag of a TIFF or from the property of a HEIC. An orientation",
        "in XMP alone is ignored, as browsers do.",
        "",
        "Hidden files (`.name`) and files behind a linked folder are not inputs. An outage of",
        "the store is not a row: workers retry for minutes, then the run stops, and the same",
        "command continues it. Bytes damaged inside the scan of a JPEG often decode without an",
        "error, and no decoder can notice.",
        "",
        "A .tar, .tar.gz or .zip, or Parquet with a column of images, given directly or in a",
        "folder, is read as its members: `faces.zip#deep/1.jpg`, `faces.parquet#17`. A damaged",
        "archive ends the run before it starts. Members of a .tar.gz, and rows of a row group",
        "of Parquet, are read together, so they stay in one output file. A member that is",
        "encrypted, damaged or packed by another method than deflate is `read: bad_member`.",
        "Other archives (.7z, .rar, .tar.xz, .arrow, .tfrecord, …) are not read: the run says",
        "how many there are and how to unpack the first. Labels: [formats.md](formats.md).",
        "",
        "A .txt (one uri per line), .csv, .tsv or .parquet (a column `uri` or `url`), given",
        "directly, is a list of images: of the web, of any store, or next to the list. A web",
        "host gets at most four connections of a worker, is asked three times if it is busy,",
        "and may redirect five times. `read: not_found` (404, 410), `denied` (401, 403, private",
        "addresses), `unreachable` and `file_too_large` are rows, which `--on-existing retry`",
        "scores again. If no host responds, the run waits and then stops. A line that is no uri,",
        "or holds a signature, is `read: bad_uri`; a space in an address is %20; empty lines and",
        "repeated ones are counted. A .csv with a column `pixels` holds square grey images itself",
        "(`faces.csv#17`); a row that is not one is `read: bad_member`.",
        "",
        "| input | becomes | note |",
        "|---|---|---|",
    ]
    lines += [f"| {kind.title} | {kind.outcome} | {kind.note} |" for kind in KINDS]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
