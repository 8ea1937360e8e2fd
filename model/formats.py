"""What the bytes of a file are, where no decoder takes them: named, so that a row helps."""

_HEVC_BRANDS = frozenset([b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"])
_HEIF_BRANDS = {
    b"mif1": "HEIF", b"mif2": "HEIF", b"msf1": "HEIF sequence",
    b"jpeg": "HEIF of JPEG", b"jpgs": "HEIF sequence of JPEG",
    b"avci": "HEIF of AVC", b"avcs": "HEIF sequence of AVC", b"j2ki": "HEIF of JPEG 2000",
    b"crx ": "a Canon CR3 raw picture",
}  # fmt: skip
# (offset, the bytes there, what it is): picture formats that are known and not taken.
_PICTURES = (
    (4, b"JXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 codestream"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
    (0, b"8BPS", "Photoshop"),
    (0, b"8BPB", "Photoshop"),
    (0, b"\0\0\1\0", "an icon (ICO)"),
    (0, b"\0\0\2\0", "a cursor (CUR)"),
    (0, b"icns", "an icon (ICNS)"),
    (0, b"DDS ", "DDS"),
    (0, b"qoif", "QOI"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"#?RGBE", "Radiance HDR"),
    (0, b"gimp xcf", "GIMP"),
    (0, b"SIMPLE  =", "FITS"),
    (128, b"DICM", "DICOM"),
    (0, b"\x0a\x05\x01", "PCX"),
    (0, b"\x01\xda\x00", "SGI"),
    (0, b"\x01\xda\x01", "SGI"),
    (0, b"BPG\xfb", "BPG"),
    (0, b"FLIF", "FLIF"),
    (0, b"II\xbc\x01", "JPEG XR"),
    (0, b"FUJIFILMCCD-RAW", "a Fujifilm raw picture"),
    (0, b"IIRO", "an Olympus raw picture"),
    (0, b"IIU\0", "a Panasonic raw picture"),
    (0, b"\xd7\xcd\xc6\x9a", "WMF"),
    (40, b" EMF", "EMF"),
)
# What is no picture at all, though its name may say so.
_OTHERS = (
    (0, b"\x1f\x8b", "compressed by gzip: unpack it"),
    (0, b"PK\x03\x04", "a zip archive: unpack it"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it"),
    (0, b"version https://git-lfs", "a Git LFS pointer and not the file: run `git lfs pull`"),
    (0, b"<!DOCTYPE html", "a web page: the download went wrong"),
    (0, b"<!doctype html", "a web page: the download went wrong"),
    (0, b"<html", "a web page: the download went wrong"),
    (0, b"<?xml", "XML: a drawing, or a store's error in place of the file"),
    (0, b"<Error", "XML: a store's error in place of the file"),
    (0, b"\x1aE\xdf\xa3", "a film (Matroska or WebM)"),
    (8, b"AVI ", "a film (AVI)"),
    (8, b"WAVE", "sound (WAVE)"),
    (0, b"ID3", "sound (MP3)"),
    (0, b"OggS", "sound or a film (Ogg)"),
)
_FILM_BRANDS = (
    b"iso", b"mp4", b"mp7", b"avc", b"qt", b"M4V", b"M4A", b"3gp", b"3g2", b"das", b"MSN",
)  # fmt: skip
_MOST_BRAND_BYTES = 256
_NETPBM = {
    b"1": "PBM",
    b"2": "PGM",
    b"3": "PPM",
    b"4": "PBM",
    b"5": "PGM",
    b"6": "PPM",
    b"7": "PAM",
}


def picture_format(data: bytes) -> str | None:
    """The name of the picture format that the bytes begin like, of those that are not decoded."""
    brands = _brands(data)
    # A film may name a still's brand among those that it is compatible with.
    for brand in brands[:1] if _is_film(brands) else brands:
        if brand in _HEIF_BRANDS:
            return _HEIF_BRANDS[brand]
    if data[:1] == b"P" and data[1:2] in _NETPBM and data[2:3].isspace():
        return _NETPBM[data[1:2]]
    return _named(data, _PICTURES)


def other_kind(data: bytes) -> str | None:
    """What else the bytes are, as the end of a sentence that begins with "it is"."""
    if brands := _brands(data):
        if _is_film(brands):
            return "a film (MP4 or QuickTime)"
        return f"a media file of brand {brands[0].decode('latin-1').strip()!r}"
    return _named(data, _OTHERS)


def is_avif(data: bytes) -> bool:
    """Whether the bytes begin like AVIF, which is decoded where its header is sound."""
    return not {b"avif", b"avis"}.isdisjoint(_brands(data))


def is_hevc(data: bytes) -> bool:
    """Whether the bytes begin like HEIC, which model/heif.py decodes."""
    brands = _brands(data)
    return not _is_film(brands) and not _HEVC_BRANDS.isdisjoint(brands)


def _is_film(brands: list[bytes]) -> bool:
    return bool(brands) and brands[0].startswith(_FILM_BRANDS)


def _brands(data: bytes) -> list[bytes]:
    """Major and compatible brands of an ISO media file (ISO 14496-12, 4.3); none of others."""
    if data[4:8] != b"ftyp":
        return []
    box = data[: min(int.from_bytes(data[:4], "big"), _MOST_BRAND_BYTES)]
    return [data[8:12], *(box[at : at + 4] for at in range(16, len(box) - 3, 4))]


def _named(data: bytes, kinds: tuple[tuple[int, bytes, str], ...]) -> str | None:
    for offset, start, name in kinds:
        if data[offset : offset + len(start)] == start:
            return name
    return None
