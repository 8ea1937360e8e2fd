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
    (0, b"\x8aMNG", "MNG"),
    (0, b"\x8bJNG", "JNG"),
    (12, b"CgBI", "a PNG of Apple's own kind (CgBI)"),
    (8, b"CR\2", "a Canon CR2 raw picture"),
    (0, b"SDPX", "DPX"),
    (0, b"XPDS", "DPX"),
    (0, b"\x59\xa6\x6a\x95", "Sun raster"),
    (0, b"PF\n", "PFM"),
    (0, b"Pf\n", "PFM"),
    (0, b"/* XPM */", "XPM"),
    (0, b"#define ", "XBM"),
    (0, b"id=ImageMagick", "MIFF"),
    (0, b"\xab\1", "VIFF"),
    (0, b"AT&TFORM", "DjVu"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "EPS"),
)
_AS_TEXT = "a picture that was written or sent as text, which changed its bytes: copy it again"
# What is no picture at all, though its name may say so.
_OTHERS = (
    (0, b"\x1f\x8b", "compressed by gzip: unpack it"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it"),
    (0, b"\xfd7zXZ\0", "compressed by xz: unpack it"),
    (0, b"BZh", "compressed by bzip2: unpack it"),
    (0, b"PK\x03\x04", "a zip archive: unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
    (0, b"Rar!\x1a\x07", "a rar archive: unpack it"),
    (257, b"ustar", "a tar archive"),
    (0, b"\xef\xbf\xbd\xef\xbf\xbd", _AS_TEXT),
    (0, b"\xc3\xbf\xc3\x98\xc3\xbf", _AS_TEXT),
    (0, b"\xc2\x89PNG", _AS_TEXT),
    (0, b"\x89PNG\n\x1a\n", _AS_TEXT),
    (0, b"\x89PNG\r\r\n\x1a\r\n", _AS_TEXT),
    (0, b"Salted__", "encrypted by openssl"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"\x93NUMPY", "an array of NumPy"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"SQLite format 3", "an SQLite database"),
    (0, b"\x80\4\x95", "a Python pickle"),
    (0, b"\0\5\x16\7", "what a Mac notes beside a file (AppleDouble)"),
    (0, b"\xd0\xcf\x11\xe0", "an old Office document or Thumbs.db"),
    (0, b"\x1aE\xdf\xa3", "a film (Matroska or WebM)"),
    (0, b"FLV\1", "a film (FLV)"),
    (8, b"AVI ", "a film (AVI)"),
    (8, b"WAVE", "sound (WAVE)"),
    (0, b"ID3", "sound (MP3)"),
    (0, b"OggS", "sound or a film (Ogg)"),
)
# How a text begins that lies where a picture should, in small letters.
_TEXTS = (
    ("version https://git-lfs", "a Git LFS pointer and not the file: run `git lfs pull`"),
    ("/annex/objects/", "a git-annex pointer and not the file: run `git annex get`"),
    ("<!doctype html", "a web page: the download went wrong"),
    ("<html", "a web page: the download went wrong"),
    ("<head", "a web page: the download went wrong"),
    ("<?xml", "XML: a drawing, or a store's error in place of the file"),
    ("<error", "XML: a store's error in place of the file"),
    ("{", "JSON: an error, or labels, in place of the file"),
    ("[", "JSON: an error, or labels, in place of the file"),
    ("data:image/", "a picture as a data: address: write its bytes"),
    ("/9j/", "a JPEG in base64: decode it"),
    ("ivborw0kggo", "a PNG in base64: decode it"),
    ("--", "what a form was sent as (multipart): the picture is a part of it"),
)
_DRAWING_STARTS = ("<svg", "<?xml", "<!--", "<!doctype svg")
_MOST_TEXT_BYTES = 1024
_FILM_BRANDS = (
    b"iso", b"mp4", b"mp7", b"avc", b"qt", b"M4V", b"M4A", b"3gp", b"3g2", b"das", b"MSN",
)  # fmt: skip
_MOST_BRAND_BYTES = 256
# Image types and bytes of a header (Truevision TGA File Format Specification 2.0).
_TGA_KINDS, _TGA_BYTES = (1, 2, 3, 9, 10, 11), 18
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
    text = _text(data)
    if "<svg" in text and text.startswith(_DRAWING_STARTS):  # a web page may hold one
        return "SVG"
    return _named(data, _PICTURES) or _without_signature(data)


def other_kind(data: bytes) -> str | None:
    """What else the bytes are, as the end of a sentence that begins with "it is"."""
    if brands := _brands(data):
        if _is_film(brands):
            return "a film (MP4 or QuickTime)"
        return f"a media file of brand {brands[0].decode('latin-1').strip()!r}"
    text = _text(data)
    named = _named(data, _OTHERS) or next(
        (it for start, it in _TEXTS if text.startswith(start)), None
    )
    if named is None and data.count(data[:1]) == len(data):
        return f"filled with one value (0x{data[0]:02x}): a download that never came to its end"
    at = data.find(b"\xff\xd8\xff", 1, _MOST_TEXT_BYTES)
    return f"a JPEG behind {at} other bytes: cut those off" if named is None and at > 0 else named


def is_avif(data: bytes) -> bool:
    """Whether the bytes begin like AVIF, which is decoded where its header is sound."""
    return not {b"avif", b"avis"}.isdisjoint(_brands(data))


def is_hevc(data: bytes) -> bool:
    """Whether the bytes begin like HEIC, which model/heif.py decodes."""
    brands = _brands(data)
    return not _is_film(brands) and not _HEVC_BRANDS.isdisjoint(brands)


def _text(data: bytes) -> str:
    """How a text begins, in small letters and without what is before its first word."""
    head = data[:_MOST_TEXT_BYTES]
    coding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1"
    return head.removeprefix(b"\xef\xbb\xbf").decode(coding, "ignore").lstrip().lower()


def _without_signature(data: bytes) -> str | None:
    """Cursors and Targas, which are known by small numbers in their header alone."""
    if data[:4] == b"\0\0\2\0" and data[4:6] not in (b"", b"\0\0") and data[9:10] == b"\0":
        return "a cursor (CUR)"
    if data.endswith(b"TRUEVISION-XFILE.\0"):
        return "Targa (TGA)"
    if len(data) < _TGA_BYTES or data[1] > 1 or data[2] not in _TGA_KINDS:
        return None
    width, height = (int.from_bytes(data[at : at + 2], "little") for at in (12, 14))
    is_whole = width and height and data[16] in (8, 15, 16, 24, 32) and not data[17] & 0xC0
    return "Targa (TGA)" if is_whole and data[1] == (data[2] in (1, 9)) else None


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
