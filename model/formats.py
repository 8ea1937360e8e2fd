"""What a file is that no decoder takes: its format, whether its end is missing, or what else."""

from model import heif, jpeg, png, tiff
from model.errors import DecodeError

_STARTS = (
    (b"GIF87a", "GIF"), (b"GIF89a", "GIF"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"), (png.SIGNATURE, "PNG"), (jpeg.SIGNATURE, "JPEG"),
)  # fmt: skip
_HEIF_BRANDS = {
    b"mif1": "HEIF", b"mif2": "HEIF", b"msf1": "HEIF sequence", b"jpeg": "HEIF of JPEG",
    b"jpgs": "HEIF sequence of JPEG", b"avci": "HEIF of AVC", b"avcs": "HEIF sequence of AVC",
    b"j2ki": "HEIF of JPEG 2000", b"crx ": "a Canon CR3 raw image",
}  # fmt: skip
# (offset, the bytes there, what it is): image formats that are known and not decoded.
_IMAGES = (
    (4, b"JXL ", "JPEG XL"), (0, b"\xff\x0a", "JPEG XL"), (4, b"jP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 codestream"), (0, b"II\xbc\x01", "JPEG XR"),
    (0, b"%PDF", "PDF"), (0, b"<svg", "SVG"), (0, b"8BPS", "Photoshop"), (0, b"8BPB", "Photoshop"),
    (0, b"\0\0\1\0", "an icon (ICO)"), (0, b"\0\0\2\0\1\0", "a cursor (CUR)"),
    (0, b"icns", "an icon (ICNS)"), (0, b"DDS ", "DDS"), (0, b"qoif", "QOI"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"), (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"#?RGBE", "Radiance HDR"), (0, b"gimp xcf", "GIMP"), (0, b"SIMPLE  =", "FITS"),
    (128, b"DICM", "DICOM"), (0, b"\x0a\x05\x01", "PCX"), (0, b"\x01\xda\x00", "SGI"),
    (0, b"\x01\xda\x01", "SGI"), (0, b"BPG\xfb", "BPG"), (0, b"FLIF", "FLIF"),
    (8, b"CR\2", "a Canon CR2 raw image"), (0, b"FUJIFILMCCD-RAW", "a Fujifilm raw image"),
    (0, b"IIRO", "an Olympus raw image"), (0, b"IIU\0", "a Panasonic raw image"),
    (0, b"\xd7\xcd\xc6\x9a", "WMF"), (40, b" EMF", "EMF"), (0, b"\x8aMNG", "MNG"),
    (0, b"\x8bJNG", "JNG"), (12, b"CgBI", "a PNG of Apple's own kind (CgBI)"),
    (0, b"SDPX", "DPX"), (0, b"XPDS", "DPX"), (0, b"\x59\xa6\x6a\x95", "Sun raster"),
    (0, b"PF\n", "PFM"), (0, b"Pf\n", "PFM"), (0, b"/* XPM */", "XPM"), (0, b"#define ", "XBM"),
    (0, b"id=ImageMagick", "MIFF"), (0, b"\xab\1", "VIFF"), (0, b"AT&TFORM", "DjVu"),
    (0, b"%!PS", "PostScript"), (0, b"\xc5\xd0\xd3\xc6", "EPS"),
)  # fmt: skip
_NETPBM = {b"P1": "PBM", b"P2": "PGM", b"P3": "PPM", b"P4": "PBM", b"P5": "PGM", b"P6": "PPM",
           b"P7": "PAM"}  # fmt: skip
# Image types and bytes of a header (Truevision TGA File Format Specification 2.0).
_TGA_TYPES, _TGA_BYTES = (1, 2, 3, 9, 10, 11), 18
_AS_TEXT = "an image that was written or sent as text, which changed its bytes: copy it again"
# What is no image at all, though its name may say so.
_OTHERS = (
    (0, b"\x1f\x8b", "compressed by gzip: unpack it"),
    (0, b"BZh", "compressed by bzip2: unpack it"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it"),
    (0, b"\xfd7zXZ\0", "compressed by xz: unpack it"),
    (0, b"PK\x03\x04", "a zip archive: unpack it"), (257, b"ustar", "a tar archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
    (0, b"Rar!\x1a\x07", "a rar archive: unpack it"), (0, b"PAR1", "a Parquet file"),
    (0, b"\xef\xbf\xbd\xef\xbf\xbd", _AS_TEXT), (0, b"\xc3\xbf\xc3\x98\xc3\xbf", _AS_TEXT),
    (0, b"\xc2\x89PNG", _AS_TEXT), (0, b"\x89PNG\n\x1a\n", _AS_TEXT),
    (0, b"\0\5\x16\7", "metadata of macOS (AppleDouble), not the file it belongs to"),
    (0, b"\x1aE\xdf\xa3", "a video (Matroska or WebM)"), (8, b"AVI ", "a video (AVI)"),
)  # fmt: skip
# How a text begins that lies where an image should, in small letters.
_TEXTS = (
    ("version https://git-lfs", "a Git LFS pointer and not the file: run `git lfs pull`"),
    ("/annex/objects/", "a git-annex pointer and not the file: run `git annex get`"),
    ("<!doctype html", "a web page: the download went wrong"),
    ("<html", "a web page: the download went wrong"),
    ("<?xml", "XML: a drawing, or a store's error in place of the file"),
    ("{", "JSON: an error, or labels, in place of the file"),
    ("[", "JSON: an error, or labels, in place of the file"),
    ("data:image/", "an image as a data: address: write its bytes"),
    ("/9j/", "a JPEG in base64: decode it"), ("ivborw0kggo", "a PNG in base64: decode it"),
)  # fmt: skip
_MAX_TEXT_BYTES = 1024
_MIN_ZEROS, _PIXELS_PER_ZERO = 64, 2000


def own_format(data: bytes) -> str | None:
    """Which of the formats that are decoded here the bytes begin like; HEIC apart."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if heif.is_avif(data):
        return "AVIF"
    return next((name for start, name in _STARTS if data.startswith(start)), None)


def known(data: bytes) -> DecodeError | None:
    """Why a file that began well is not decoded, where that is its kind and no damage."""
    own = own_format(data)
    # those two name HEIF among their brands
    name = None if own == "AVIF" or heif.is_heic(data) else _image_format(data)
    if name is not None:
        return DecodeError("unsupported", f"it is {name}, which no decoder here reads")
    return tiff.unread_compression(data) if own == "TIFF" else None


def unidentified(data: bytes) -> DecodeError:
    """What to say of bytes that no decoder takes."""
    own = own_format(data)
    if (error := known(data)) is not None:
        return error
    if own is None:
        return DecodeError("not_an_image", _other_kind(data))
    own_text = f"{'an' if own == 'AVIF' else 'a'} {own}"
    if is_truncated(data):
        return DecodeError("truncated", f"it is {own_text} that is cut short")
    error = tiff.unread(data) if own == "TIFF" else jpeg.unread(data) if own == "JPEG" else None
    return error or DecodeError("corrupt", f"it is {own_text} whose header is damaged")


def is_truncated(data: bytes) -> bool:
    """Whether a WebP, AVIF, TIFF, GIF or JPEG that could not be decoded lacks its end.

    Sources: WebP Container Specification ("RIFF file format"); GIF89a, section 27.
    """
    name = own_format(data)
    if name == "WebP":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if name == "AVIF":
        return heif.is_truncated(data)
    if name == "TIFF":
        return tiff.is_truncated(data)
    if name == "JPEG":
        return jpeg.ends_in_its_header(data)
    return name == "GIF" and not data.rstrip(b"\0").endswith(b";")


def ends_in_zeros(data: bytes, pixels: int) -> bool:
    """Whether zeros lie where the end of a WebP, AVIF or HEIC image should, and decode as noise.

    So does a download that stopped after its room had been made. A flat WebP of 6 megapixels ends
    in 600 of them, others in none; EXIF, where cameras leave room, may end in any number.

    Args:
        data: the file.
        pixels: of its image.
    """
    has_exif = b"Exif" in data or b"EXIF" in data
    return not has_exif and data.endswith(bytes(_MIN_ZEROS + pixels // _PIXELS_PER_ZERO))


def _image_format(data: bytes) -> str | None:
    """The name of the image format that the bytes begin like, of those that are not decoded."""
    for brand in heif.still_brands(data):
        if brand in _HEIF_BRANDS:
            return _HEIF_BRANDS[brand]
    if data[:2] in _NETPBM and data[2:3].isspace():
        return _NETPBM[data[:2]]
    text = _text(data)
    if "<svg" in text and text.startswith(("<?xml", "<!--", "<!doctype svg")):
        return "SVG"  # a web page may hold one
    return _named(data, _IMAGES) or ("Targa (TGA)" if _is_targa(data) else None)


def _other_kind(data: bytes) -> str:
    """What else the bytes are."""
    if brands := heif.brands(data):
        kind = "a video (MP4 or QuickTime)" if heif.is_film(data) else "a media file of brand "
        return f"it is {kind}" + ("" if heif.is_film(data) else repr(brands[0].decode("latin-1")))
    text = _text(data)
    named = _named(data, _OTHERS) or next((it for at, it in _TEXTS if text.startswith(at)), None)
    if named is None and data.count(data[:1]) == len(data):
        named = f"filled with one value (0x{data[0]:02x}): a download that never came to its end"
    if named is None and (at := data.find(jpeg.SIGNATURE, 1, _MAX_TEXT_BYTES)) > 0:
        named = f"a JPEG behind {at} other bytes: cut those off"
    return f"it is {named}" if named else f"no image format starts with {data[:12].hex(' ')}"


def _text(data: bytes) -> str:
    """How a text begins, in small letters and without what is before its first word."""
    head = data[:_MAX_TEXT_BYTES]
    coding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1"
    return head.removeprefix(b"\xef\xbb\xbf").decode(coding, "ignore").lstrip().lower()


def _is_targa(data: bytes) -> bool:
    """Whether its footer, or else the small numbers of its header, are a Targa's."""
    if data.endswith(b"TRUEVISION-XFILE.\0"):
        return True
    if len(data) < _TGA_BYTES or data[2] not in _TGA_TYPES or data[1] != (data[2] in (1, 9)):
        return False
    has_size = any(data[12:14]) and any(data[14:16])
    return has_size and data[16] in (8, 15, 16, 24, 32) and not data[17] & 0xC0


def _named(data: bytes, kinds: tuple[tuple[int, bytes, str], ...]) -> str | None:
    return next((name for at, start, name in kinds if data.startswith(start, at)), None)
