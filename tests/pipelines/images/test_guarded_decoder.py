"""Decoding apart: a real crash, hang or hog costs the image that did it, and no other."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.errors import DecodeError
from model.preprocessing import InputSpec, decode_image
from pipelines.images.guarded_decoder import IsolatedDecoder
from tests.photographs import encoded
from tests.robustness.deadly import DECODER, poisoned

SPEC = InputSpec()


@pytest.fixture(scope="module")
def apart() -> Iterator[IsolatedDecoder]:
    decoder = IsolatedDecoder(DECODER, timeout_s=1.0)
    yield decoder
    decoder.close()


@pytest.fixture(scope="module")
def face(faces_dir: Path) -> bytes:
    return next(iter(sorted(faces_dir.glob("*.jpg")))).read_bytes()


def test_decoding_apart_gives_the_same_pixels(apart: IsolatedDecoder, face: bytes) -> None:
    here, there = decode_image(face, SPEC), apart(face, SPEC)
    assert np.array_equal(here.pixels, there.pixels[0])
    assert (there.width, there.height) == (here.width, here.height)


def test_a_bad_file_has_its_own_reason(apart: IsolatedDecoder) -> None:
    with pytest.raises(DecodeError) as error:
        apart(b"", SPEC)
    assert error.value.reason == "empty"


@pytest.mark.parametrize(
    ("how", "reason", "message"),
    [
        ("segv", "crashed", "the decoder crashed (SIGSEGV)"),
        ("hang", "timeout", "decoding took longer than 1 s"),
        ("hog", "out_of_memory", "there was not enough memory to decode it"),
        ("kill", "out_of_memory", "the decoder was killed; it may use 4.0 GiB of memory"),
    ],
)
def test_what_kills_a_decoder_costs_one_image(
    apart: IsolatedDecoder, face: bytes, how: str, reason: str, message: str
) -> None:
    with pytest.raises(DecodeError) as error:
        apart(poisoned(face, how), SPEC)
    assert (error.value.reason, str(error.value)) == (reason, message)
    assert apart(face, SPEC).width == 200


def test_a_decoder_that_cannot_start_is_no_image_s_fault(face: bytes) -> None:
    with pytest.raises(RuntimeError, match=r"^the decoder process ended with code 1 before any"):
        IsolatedDecoder("tests.nowhere:decode_image")(face, SPEC)


def of_many_scans(scans: int) -> bytes:
    """A small progressive JPEG of 3000x3000 whose last scan is repeated: minutes of decoding."""
    data = encoded(Image.new("L", (3000, 3000), 128), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def test_a_progressive_jpeg_of_thousands_of_scans_ends_in_time() -> None:
    data = of_many_scans(3000)
    assert len(data) < 20_000_000
    apart = IsolatedDecoder(timeout_s=1.0)
    try:
        with pytest.raises(DecodeError) as error:
            apart(data, InputSpec(32, 32))
    finally:
        apart.close()
    assert error.value.reason == "timeout"


@pytest.mark.parametrize(("how", "number"), [("segv", signal.SIGSEGV), ("hang", signal.SIGALRM)])
def test_no_handler_keeps_a_process_from_its_end(face: bytes, how: str, number: int) -> None:
    # As Ray's does, which prints a stack and raises the signal again, to itself.
    child = """if True:
        import signal, sys
        from model.preprocessing import InputSpec
        from pipelines.images.guarded_decoder import ended_at_once
        from tests.robustness.deadly import crops_or_death
        signal.signal(signal.SIGSEGV, lambda *_: None)
        ended_at_once(crops_or_death, 0.5)(sys.stdin.buffer.read(), InputSpec())
    """
    ended = subprocess.run(
        [sys.executable, "-c", child], input=poisoned(face, how), timeout=60, check=False
    )
    assert ended.returncode == -number
