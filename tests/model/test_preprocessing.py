"""From bytes to pixels: as the seed did, upright, on white, and every bad file with its reason."""

import dataclasses
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from demo.drawn_faces import BREAKAGES, draw_face
from model.errors import DecodeError
from model.faces.alignment import UTKFACE_CHIPS
from model.pictures import DECODE_REASONS, MAX_PIXELS, decode_picture
from model.preprocessing import InputSpec, decode_image
from tests.corpus import XMP, bmp_with_alpha
from tests.photographs import encoded

ROOT = Path(__file__).parents[2]
RGB = InputSpec(128, 128, "rgb")
FAST = InputSpec(96, 96, "rgb", "bilinear", jpeg_oversample=1)
ORIENTATIONS = {  # EXIF value -> what a camera did to the upright picture before saving it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def face() -> Image.Image:
    return draw_face(seed=1, index=0)[1]


def decoded(image: Image.Image, spec: InputSpec = RGB, kind: str = "PNG", **options: Any) -> Any:
    return decode_image(encoded(image, kind, **options), spec).pixels.astype(int)


def as_resized(image: Image.Image, side: int = 128) -> Any:
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS)).astype(int)


def reason_of(data: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        decode_image(data, InputSpec())
    assert str(caught.value)
    return caught.value.reason


def test_grey_is_the_seeds_load_img_and_lanczos_resize_byte_for_byte() -> None:
    data = encoded(face(), "JPEG", quality=85)
    with Image.open(io.BytesIO(data)) as image:  # keras load_img(color_mode="grayscale")
        seed = image.convert("L").resize((128, 128), Image.Resampling.LANCZOS)
    ours = decode_image(data, InputSpec())
    assert ours.pixels.tobytes() == np.asarray(seed).tobytes()
    assert (ours.pixels.shape, ours.pixels.dtype) == ((128, 128, 1), np.uint8)
    assert (ours.width, ours.height) == (200, 200)


def test_rgb_is_the_resized_picture() -> None:
    assert (decoded(face()) == as_resized(face())).all()


def test_height_and_width_are_not_confused() -> None:
    assert decode_image(encoded(face()), InputSpec(32, 48, "rgb")).pixels.shape == (32, 48, 3)


def test_a_picture_of_the_right_size_is_not_resampled() -> None:
    small = face().resize((128, 128))
    assert (decoded(small) == np.asarray(small)).all()


def test_transparency_becomes_white() -> None:
    half = Image.new("RGBA", (128, 128), (0, 0, 0, 0))
    half.paste((200, 10, 10, 255), (0, 0, 64, 128))
    pixels = decoded(half)
    assert (pixels[:, 64:] == 255).all()
    assert (pixels[:, :64] == [200, 10, 10]).all()


def test_half_transparent_black_becomes_mid_grey() -> None:
    pixels = decoded(Image.new("LA", (128, 128), (0, 128)), InputSpec())
    assert (np.abs(pixels - 127) <= 1).all()


def test_palette_with_transparency_becomes_colour_on_white() -> None:
    image = Image.new("P", (128, 128), 0)
    image.putpalette([10, 200, 30, 0, 0, 0])
    image.paste(1, (64, 0, 128, 128))
    pixels = decoded(image, transparency=1)
    assert (pixels[:, :64] == [10, 200, 30]).all()
    assert (pixels[:, 64:] == 255).all()


def test_sixteen_bit_png_keeps_the_high_byte() -> None:
    ramp = np.arange(128 * 128, dtype=np.uint16).reshape(128, 128) * 4
    pixels = decoded(Image.fromarray(ramp), InputSpec())
    assert (pixels[..., 0] == ramp >> 8).all()


def test_cmyk_jpeg_is_close_to_the_rgb_it_came_from() -> None:
    pixels = decoded(face().convert("CMYK"), kind="JPEG", quality=95)
    assert np.abs(pixels - as_resized(face())).mean() < 3


def test_first_frame_of_an_animation_counts() -> None:
    frames = [Image.new("L", (64, 64), shade) for shade in (40, 200)]
    pixels = decoded(frames[0], InputSpec(), "GIF", save_all=True, append_images=frames[1:])
    assert (pixels == 40).all()


def test_float_samples_are_refused() -> None:
    assert reason_of(encoded(Image.new("F", (64, 64), 0.5), "TIFF")) == "unsupported"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_every_exif_orientation_comes_out_upright(orientation: int, kind: str) -> None:
    upright = face().crop((0, 0, 200, 150))
    turn = ORIENTATIONS.get(orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright if turn is None else upright.transpose(turn)
    data = encoded(stored, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))
    ours = decode_image(data, RGB)
    assert (ours.width, ours.height) == (200, 150)
    error = np.abs(ours.pixels.astype(int) - as_resized(upright)).mean()
    assert error < (3 if kind == "JPEG" else 0.01)


def with_xmp(image: Image.Image, kind: str) -> bytes:
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        return encoded(image, kind, pnginfo=info)
    if kind == "TIFF":
        return encoded(image, kind, tiffinfo={700: XMP})
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    return encoded(image, kind, xmp=XMP, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_orientation_in_xmp_alone_turns_nothing_as_in_browsers(kind: str) -> None:
    upright = face().crop((0, 0, 200, 150))
    found = decode_image(with_xmp(upright, kind), RGB)
    assert (found.width, found.height) == (200, 150)
    assert np.abs(found.pixels.astype(int) - as_resized(upright)).mean() < 3


@pytest.mark.parametrize(("alpha", "shown"), [(0, 60), (128, 157)])
def test_an_alpha_channel_of_a_bmp_that_is_all_zero_is_none(alpha: int, shown: int) -> None:
    """Windows leaves the fourth byte of a pixel empty, and viewers ignore it."""
    data = bmp_with_alpha(alpha, level=60)
    assert np.abs(decode_image(data, RGB).pixels.astype(int) - shown).max() <= 1


@pytest.mark.parametrize(
    ("spec", "size", "scaled"),
    [
        (RGB, (1600, 1200), (800, 600)),  # 1/4 would have less than 4x128 pixels a side
        (FAST, (1600, 1200), (200, 150)),
        (FAST, (200, 200), (100, 100)),  # UTKFace
        (FAST, (191, 300), (191, 300)),  # 1/2 would have less than 96
        (RGB, (200, 200), (200, 200)),
    ],
    ids=str,
)
def test_large_jpeg_is_decoded_at_the_smallest_scale_that_keeps_its_oversample(
    spec: InputSpec, size: tuple[int, int], scaled: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    big = face().resize(size, Image.Resampling.BICUBIC)
    data = encoded(big, "JPEG", quality=95)
    sizes: list[tuple[int, int]] = []
    resize = Image.Image.resize

    def watched(self: Image.Image, *args: Any, **options: Any) -> Image.Image:
        sizes.append(self.size)
        return resize(self, *args, **options)

    monkeypatch.setattr(Image.Image, "resize", watched)
    ours = decode_image(data, spec)
    assert sizes == [scaled]
    assert (ours.width, ours.height) == size
    assert np.abs(ours.pixels.astype(int) - as_resized(big, spec.width)).mean() < 2.5


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("truncated", "truncated"), ("empty", "empty"), ("text", "not_an_image"),
     ("html", "not_an_image"), ("header_only", "truncated"), ("zero_filled", "not_an_image")],
)  # fmt: skip
def test_broken_file_has_its_reason(kind: str, reason: str) -> None:
    assert reason_of(BREAKAGES[kind](encoded(face(), "JPEG"))) == reason
    assert reason in DECODE_REASONS


def test_truncated_png_has_its_reason() -> None:
    data = encoded(face())
    assert reason_of(data[: len(data) // 2]) == "truncated"


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size without holding the pixels."""
    data = encoded(Image.new("1", (1, 1)))
    import zlib

    head = b"IHDR" + width.to_bytes(4) + height.to_bytes(4) + data[24:29]
    return data[:12] + head + zlib.crc32(head).to_bytes(4) + data[33:]


@pytest.mark.parametrize("side", [9_434, 12_000, 20_000])
def test_huge_picture_is_refused_by_its_header(side: int) -> None:
    assert side**2 > MAX_PIXELS
    with pytest.raises(DecodeError, match=f"^{side**2:,} pixels are more than") as caught:
        decode_image(png_header(side, side), RGB)
    assert caught.value.reason == "too_large"


@pytest.fixture(scope="module")
def huge() -> Image.Image:
    """More pixels than are decoded, as telephones of 108 and 200 megapixels make."""
    return Image.linear_gradient("L").resize((9_500, 9_500), Image.Resampling.NEAREST)


@pytest.mark.parametrize("exif", [False, True])
@pytest.mark.parametrize("least", [96, 9_500])
def test_a_huge_jpeg_is_decoded_at_a_scale_that_fits(
    huge: Image.Image, least: int, exif: bool
) -> None:
    assert huge.width * huge.height > MAX_PIXELS
    data = encoded(huge, "JPEG", **({"exif": Image.Exif()} if exif else {}))
    found = decode_picture(data, "grey", 3, lambda width, height: (least, least))
    assert (found.width, found.height) == huge.size
    assert found.image.size == ((1_188, 1_188) if least == 96 else (4_750, 4_750))
    assert np.abs(np.asarray(found.image.resize((256, 256)))[:, 0] - np.arange(256.0)).max() <= 2


def test_a_huge_progressive_jpeg_is_refused_as_decoders_hold_all_of_it(huge: Image.Image) -> None:
    assert reason_of(encoded(huge, "JPEG", progressive=True)) == "too_large"


def test_tiny_picture_is_refused() -> None:
    assert reason_of(encoded(Image.new("RGB", (7, 300)))) == "too_small"
    assert decoded(Image.new("RGB", (8, 300))).shape == (128, 128, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"height": 64},
        {"width": 64},
        {"color": "rgb"},
        {"resample": "bilinear"},
        {"version": 1},
        {"jpeg_oversample": 1},
        {"alignment": UTKFACE_CHIPS},
        {"alignment": dataclasses.replace(UTKFACE_CHIPS, outside=0)},
    ],
    ids=str,
)
def test_hash_of_a_spec_changes_with_each_field(change: dict[str, Any]) -> None:
    assert {field.name for field in dataclasses.fields(InputSpec)} == {
        "height", "width", "color", "resample", "version", "jpeg_oversample", "alignment",
    }  # fmt: skip
    assert dataclasses.replace(InputSpec(), **change).hash != InputSpec().hash
    assert InputSpec().hash == InputSpec(128, 128, "grey").hash


def test_specs_of_before_there_was_an_oversample_keep_their_hash() -> None:
    assert (
        InputSpec(96, 96, "rgb", version=1).hash == "71feb2d9569709fb"
    )  # in bundles that people have
    aligned = dataclasses.replace(FAST, alignment=UTKFACE_CHIPS)
    for spec in (InputSpec(96, 96, "rgb"), FAST, aligned):
        assert InputSpec.from_json(spec.to_json()) == spec


def test_preprocessing_recipes_and_presets_import_no_tensorflow() -> None:
    code = (
        "import sys, model.preprocessing, model.recipes, model.presets, pipelines.images.decoding;"
        "print(sorted({'tensorflow', 'keras', 'jax'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
