"""HEIC is read as any other picture: upright, on white, in sRGB; what is broken has its reason."""

import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.colours import DISPLAY_P3, SRGB, profile_of
from model.errors import DecodeError
from model.preprocessing import InputSpec, decode_image
from tests.heic import box, heic, turned, with_property
from tests.wide_gamut import in_space

ROOT = Path(__file__).parents[2]
RGB = InputSpec(48, 64, "rgb")
needs_package = pytest.mark.skipif(
    find_spec("pi_heif") is None,
    reason="pi-heif is missing: make setup",
)


def drawn() -> Any:
    """What tests/data/README.md says: red to the right, green downwards, blue to the left."""
    x, y = np.meshgrid(np.linspace(0, 255, 64), np.linspace(0, 255, 48))
    return np.stack([x, y, 255 - x], axis=-1)


def pixels(data: bytes, spec: InputSpec = RGB) -> Any:
    return decode_image(data, spec).pixels.astype(int)


def reason_of(data: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        decode_image(data, RGB)
    return caught.value.reason


@needs_package
@pytest.mark.parametrize("name", ["plain", "deep", "exif"])
@pytest.mark.parametrize("version", [1, 2])
def test_a_heic_is_read_in_8_and_10_bits_and_its_exif_turns_nothing(
    name: str, version: int
) -> None:
    found = decode_image(heic(name), InputSpec(48, 64, "rgb", version=version))
    assert (found.width, found.height) == (64, 48)
    assert np.abs(found.pixels - drawn()).max() <= 16
    assert np.abs(found.pixels - drawn()).mean() <= 3


@needs_package
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_turned_heic_is_turned_once(times: int) -> None:
    spec = RGB if times == 2 else InputSpec(64, 48, "rgb")
    found = decode_image(turned(times), spec)
    assert (found.width, found.height) == ((64, 48) if times == 2 else (48, 64))
    assert np.abs(found.pixels - np.rot90(drawn(), times)).max() <= 8


@needs_package
def test_what_is_clear_in_a_heic_is_white() -> None:
    found = pixels(heic("alpha"))
    assert np.abs(found[:, :30] - drawn()[:, :30]).max() <= 12
    assert (found[:, 34:] >= 250).all()


@needs_package
@pytest.mark.parametrize(
    "added",
    [
        box(b"colr", b"prof" + profile_of(DISPLAY_P3)),
        box(b"colr", b"nclx" + struct.pack(">HHHB", 12, 13, 6, 0x80)),
    ],
    ids=["icc", "nclx"],
)
def test_a_telephone_s_display_p3_is_converted(added: bytes) -> None:
    wide, old = with_property(heic(), added), InputSpec(48, 64, "rgb", version=1)
    plain = pixels(heic())
    assert np.abs(pixels(wide, old) - plain).max() <= 8  # version 1 ignores it
    wanted = in_space(plain, SRGB, DISPLAY_P3)
    assert np.abs(wanted - plain).max() > 30
    assert np.abs(pixels(wide) - wanted).max() <= 3


@needs_package
def test_every_cut_of_a_heic_is_a_row_and_most_are_truncated() -> None:
    for name in ("plain", "exif"):
        data = heic(name)
        for length in range(12, len(data)):
            reason = reason_of(data[:length])
            assert reason in ("truncated", "corrupt", "unsupported", "not_an_image"), length
            if length > data.index(b"mdat") + 4:
                assert reason == "truncated"


@needs_package
def test_a_damaged_byte_of_a_heic_is_a_row_or_a_picture() -> None:
    data, rng, reasons = heic(), np.random.default_rng(0), list[str]()
    for at in range(28, len(data), 2):
        changed = bytearray(data)
        changed[at] ^= int(rng.integers(1, 256))
        try:
            decode_image(bytes(changed), RGB)
        except DecodeError as error:
            reasons.append(error.reason)
    assert len(reasons) > 50
    assert set(reasons) <= {"truncated", "corrupt", "unsupported", "too_large", "too_small",
                            "not_an_image", "out_of_memory"}  # fmt: skip


@needs_package
def test_a_heic_too_large_is_refused_by_its_header() -> None:
    data = heic().replace(struct.pack(">II", 64, 48), struct.pack(">II", 20_000, 20_000))
    assert reason_of(data) in ("too_large", "corrupt")


def test_without_its_package_a_heic_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(DecodeError) as caught:
        decode_image(heic(), RGB)
    assert caught.value.reason == "unsupported"
    assert str(caught.value) == "it is HEIC, which the package pi-heif reads: `pip install pi-heif`"


@needs_package
def test_pillow_s_own_list_of_openers_stays_as_it_is() -> None:
    code = (
        "import sys\n"
        "from PIL import Image\n"
        "from model.preprocessing import InputSpec, decode_image\n"
        "from tests.heic import heic\n"
        "assert 'pi_heif' not in sys.modules\n"
        "decode_image(heic(), InputSpec())\n"
        "assert 'HEIF' not in Image.OPEN and '.heic' not in Image.registered_extensions()\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert "HEIF" not in Image.OPEN
