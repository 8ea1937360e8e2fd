"""Write labelled cartoon faces as UTKFace files: the demo and the tests need no download.

Skin, light, pose, background and sensor noise vary without telling anything. Every face is a
function of (seed, index), so a larger set holds the smaller one and runs agree.
"""

import io
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image

from demo.cartoon import DARK, OVERSAMPLING, SIDE_PX, Colour, Look, as_colour, draw, mix

OLDEST_YEARS = 100
SKINS: Sequence[Colour] = (
    (244, 208, 180),
    (92, 58, 42),
    (238, 198, 150),
    (176, 122, 80),
    (208, 160, 118),
)  # by race
HAIRS: Sequence[Colour] = ((38, 28, 24), (72, 46, 28), (120, 74, 38), (186, 140, 78), (140, 58, 30))
GREY: Colour = (205, 205, 208)


def choose_look(rng: np.random.Generator) -> Look:
    """Choose an age of 1..100, a gender, a race and a look that fits them, with exceptions."""
    age_years, female, race = (
        int(rng.integers(1, OLDEST_YEARS + 1)),
        bool(rng.random() < 0.5),
        int(rng.integers(5)),
    )
    adulthood = float(np.clip((age_years - 6) / 12, 0, 1))
    tone = DARK if rng.random() < 0.5 else (255, 240, 225)
    skin = mix(SKINS[race], tone, abs(rng.normal(0, 0.08)))
    young_hair = mix(
        HAIRS[int(rng.integers(2 if race in (1, 2) else len(HAIRS)))], DARK, rng.uniform(0, 0.4)
    )
    grey = float(np.clip((age_years - 30) / 38 + rng.normal(0, 0.1), 0, 1))
    dyed = rng.random() < (0.15 if female else 0.04)
    male_loss = (age_years - 22) / 70 + rng.normal(0, 0.15)
    female_loss = 0.15 * (age_years - 40) / 60
    infant_loss = 0.6 if age_years < 3 else 0.0
    colours = rng.integers(40, 230, (2, 3))
    return Look(
        age_years=age_years,
        female=female,
        race=race,
        skin=skin,
        hair=young_hair if dyed else mix(young_hair, GREY, grey),
        brow=mix(young_hair, GREY, 0.8 * grey),
        background=mix(as_colour(colours[0]), (165, 165, 165), 0.6),
        shirt=as_colour(colours[1]),
        childhood=float(np.clip((15 - age_years) / 14, 0, 1)),
        wear=float(np.clip((age_years - 28) / 72 + rng.normal(0, 0.03), 0, 1)),
        recession=float(np.clip(max(infant_loss, female_loss if female else male_loss), 0, 1)),
        half_width=0.72 + 0.13 * float(np.clip((15 - age_years) / 14, 0, 1)) + rng.normal(0, 0.02),
        jaw=(0.42 if female else 0.42 + 0.24 * adulthood) + rng.normal(0, 0.03),
        long_hair=bool(rng.random() < ((0.7 + 0.25 * adulthood) if female else 0.03))
        and age_years > 2,
        beard=0.0 if female or age_years < 17 else float(rng.choice([0.1, 0.3, 0.6])),
    )


def as_photograph(drawing: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return `drawing` at SIDE_PX, lit from a side and with sensor noise, as from a camera."""
    pixels = np.asarray(drawing.reduce(OVERSAMPLING), dtype=np.float32)
    ramp = np.linspace(-1, 1, SIDE_PX, dtype=np.float32)
    across, down = rng.normal(0, 0.1, 2).astype(np.float32)
    light = np.float32(rng.uniform(0.85, 1.12)) + across * ramp[None, :] + down * ramp[:, None]
    tint = rng.uniform(0.94, 1.06, 3).astype(np.float32)
    noise = rng.standard_normal((SIDE_PX, SIDE_PX, 1), dtype=np.float32) * np.float32(
        rng.uniform(2, 9)
    )
    return Image.fromarray(
        np.clip(pixels * light[:, :, None] * tint + noise, 0, 255).astype(np.uint8)
    )


def draw_face(seed: int, index: int) -> tuple[Look, Image.Image]:
    """Return face `index` of the set `seed`: its labels and a 200x200 RGB image."""
    rng = np.random.default_rng([seed, index])
    look = choose_look(rng)
    return look, as_photograph(draw(look, rng), rng)


def _jpeg(seed: int, index: int) -> tuple[Look, bytes]:
    look, image = draw_face(seed, index)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return look, buffer.getvalue()


# What happens to files in the wild; each turns a good JPEG into one that no decoder may accept.
BREAKAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda jpeg: jpeg[: len(jpeg) // 2],
    "empty": lambda _: b"",
    "text": lambda _: b"This is not a picture.\n",
    "html": lambda _: (
        b"<!DOCTYPE html><html><title>404 Not Found</title><h1>Not Found</h1></html>\n"
    ),
    "header_only": lambda jpeg: jpeg[:20],
    "zero_filled": lambda jpeg: bytes(len(jpeg)),
}


def draw_faces(output: str | Path, count: int, seed: int = 0, broken: int = 0) -> list[Path]:
    """Write `count` faces and `broken` unreadable files into the folder `output`, made if missing.

    Names follow UTKFace, `[age]_[gender]_[race]_[yyyymmddHHMMSSmmm].jpg.chip.jpg`, gender 0 male,
    1 female; so do the broken files, which only reading tells: the kinds of BREAKAGES in turn.

    Returns:
        The paths in the order drawn, the `broken` ones last.

    Raises:
        ValueError: if a number is negative.
    """
    for name, number in (("count", count), ("seed", seed), ("broken", broken)):
        if number < 0:
            raise ValueError(f"{name} is {number}; draw_faces needs 0 or more")
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    kinds = list(BREAKAGES.values())
    paths: list[Path] = []
    for index in range(count + broken):
        look, content = _jpeg(seed, index)
        if index >= count:
            content = kinds[(index - count) % len(kinds)](content)
        taken = datetime(2017, 1, 1) + timedelta(seconds=index, milliseconds=seed % 1000)
        stamp = f"{taken:%Y%m%d%H%M%S}{taken.microsecond // 1000:03d}"
        path = folder / f"{look.age_years}_{int(look.female)}_{look.race}_{stamp}.jpg.chip.jpg"
        path.write_bytes(content)
        paths.append(path)
    return paths
