"""What a file is, where no decoder takes it."""

import io
import struct

import pytest
from PIL import Image

from model.errors import DecodeError
from model.preprocessing import InputSpec, decode_image


def ftyp(brand: bytes) -> bytes:
    return struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + brand + b"mif1" + bytes(40)


def with_compatible(brand: bytes, compatible: bytes) -> bytes:
    return ftyp(brand).replace(b"mif1", compatible)


def told(data: bytes) -> tuple[str, str]:
    with pytest.raises(DecodeError) as error:
        decode_image(data, InputSpec(32, 32))
    return error.value.reason, str(error.value)


def saved(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (saved("JPEG2000"), "JPEG 2000"),
        (b"\xff\x4f\xff\x51" + bytes(60), "a JPEG 2000 codestream"),
        (saved("PPM"), "PPM"),
        (b"P5\n# made by a scanner\n4 4\n255\n" + bytes(16), "PGM"),
        (b"P2 2 2 255 0 0 0 0", "PGM"),
        (saved("ICO"), "an icon (ICO)"),
        (saved("PCX"), "PCX"),
        (saved("SGI"), "SGI"),
        (saved("DDS"), "DDS"),
        (ftyp(b"mif1"), "HEIF"),
        (ftyp(b"msf1"), "HEIF sequence"),
        (ftyp(b"avci"), "HEIF of AVC"),
        (ftyp(b"vnew"), "HEIF"),
        (ftyp(b"crx "), "a Canon CR3 raw image"),
        (b"%PDF-1.7\n" + bytes(100), "PDF"),
        (saved("TGA"), "Targa (TGA)"),
        (saved("TGA")[:18] + bytes(3000), "Targa (TGA)"),  # without its footer
        (b"\0\0\2\0\1\0\x20\x20\0\0" + bytes(60), "a cursor (CUR)"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(60), "a Canon CR2 raw image"),
        (b"SDPX" + bytes(60), "DPX"),
        (b"\x8aMNG\r\n\x1a\n" + bytes(60), "MNG"),
        (b"/* XPM */\nstatic char", "XPM"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<svg xmlns=''/>", "SVG"),
    ],
)
def test_a_known_format_that_is_not_read_is_named(data: bytes, name: str) -> None:
    assert told(data) == ("unsupported", f"it is {name}, which no decoder here reads")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"<!DOCTYPE html><title>404", "it is a web page: the download went wrong"),
        (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>",
         "it is XML: a drawing, or a store's error in place of the file"),
        (b"\x1f\x8b\x08" + bytes(30), "it is compressed by gzip: unpack it"),
        (b"version https://git-lfs.github.com/spec/v1\n",
         "it is a Git LFS pointer and not the file: run `git lfs pull`"),
        (ftyp(b"isom"), "it is a video (MP4 or QuickTime)"),
        (with_compatible(b"vnew", b"vold"), "it is a media file of brand 'vnew'"),
        (b"  \n\xef\xbb\xbf<!doctype HTML>", "no image format starts with 20 20 0a ef bb bf 3c 21 "
         "64 6f 63 74"),
        (b"\xef\xbb\xbf \n<!doctype HTML>", "it is a web page: the download went wrong"),
        ("\ufeff<html>".encode("utf-16-le"), "it is a web page: the download went wrong"),
        (b"<!doctype html><body><svg width='9'/></body>",
         "it is a web page: the download went wrong"),
        (b'{"error": 1}', "it is JSON: an error, or labels, in place of the file"),
        (b"/9j/4AAQSkZJRg==", "it is a JPEG in base64: decode it"),
        (b"/annex/objects/SHA256E-s12--ab.jpg",
         "it is a git-annex pointer and not the file: run `git annex get`"),
        (b"\r\n" + saved("JPEG"), "it is a JPEG behind 2 other bytes: cut those off"),
        (b"\xff" * 99, "it is filled with one value (0xff): a download that never came to its end"),
        (saved("JPEG").decode("utf-8", "replace").encode(), "it is an image that was written or "
         "sent as text, which changed its bytes: copy it again"),
        (saved("JPEG").decode("latin-1").encode(), "it is an image that was written or sent as "
         "text, which changed its bytes: copy it again"),
        (saved("PNG").replace(b"\r\n", b"\n"), "it is an image that was written or sent as text, "
         "which changed its bytes: copy it again"),
        (b"PAR1" + bytes(99), "it is a Parquet file"),
        (b"hello, world", "no image format starts with 68 65 6c 6c 6f 2c 20 77 6f 72 6c 64"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_told_for_what_it_is(data: bytes, text: str) -> None:
    assert told(data) == ("not_an_image", text)


def test_avif_is_read_where_its_header_is_sound_and_damaged_where_it_is_not() -> None:
    decode_image(saved("AVIF"), InputSpec(32, 32))
    damaged = ("corrupt", "it is an AVIF whose header is damaged")
    assert told(ftyp(b"avif")) == damaged
    assert told(with_compatible(b"mif1", b"avif")) == damaged
