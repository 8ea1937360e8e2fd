"""How far an age moves, and how often a gender flips, under changes that no person would mind."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance

from benchmarks import harness
from benchmarks.faces.readings import Chips, Network
from benchmarks.faces.scenes import png
from benchmarks.faces.settings import Settings
from model.faces.crops import crops_of
from pipelines.bundles.opening import open_bundle

_CHIPS = 500
Act = Callable[[Image.Image], Image.Image]


def crop(share: float) -> Act:
    """Cut `share` of the side off each edge."""

    def act(image: Image.Image) -> Image.Image:
        w, h = image.size
        left, top = round(w * share), round(h * share)
        return image.crop((left, top, round(w * (1 - share)), round(h * (1 - share))))

    return act


def shift(x: float, y: float) -> Act:
    """Move the image by shares of its side; what is uncovered repeats the edge."""

    def act(image: Image.Image) -> Image.Image:
        pixels = np.asarray(image)
        h, w = pixels.shape[:2]
        rows = np.clip(np.arange(h) - round(y * h), 0, h - 1)
        columns = np.clip(np.arange(w) - round(x * w), 0, w - 1)
        return Image.fromarray(pixels[rows][:, columns])

    return act


def brightness(factor: float) -> Act:
    """Multiply the brightness."""
    return lambda image: ImageEnhance.Brightness(image).enhance(factor)


CHANGES: dict[str, list[Act]] = {
    "crops of 2.5, 5, 10 % off each edge": [crop(share) for share in (0.025, 0.05, 0.1)],
    "shifts of 5 % in four directions": [
        shift(x, y) for x, y in ((0.05, 0), (-0.05, 0), (0, 0.05), (0, -0.05))
    ],
    "brightness x 0.7 to 1.3": [brightness(factor) for factor in (0.7, 0.85, 1.15, 1.3)],
}


def steadiness(settings: Settings) -> list[str]:
    """Chips of test, changed and saved without loss: no JPEG decoder shrinks a PNG."""
    network = Network(open_bundle(settings.bundle))
    chips = Chips.of(settings.manifest, "test", settings.chips or _CHIPS)
    images = [chips.image(number) for number in range(len(chips.files))]

    def read(act: Act) -> dict[str, np.ndarray]:
        spec = network.bundle.input
        return network.read(np.concatenate([crops_of(png(act(i)), spec).pixels for i in images]))

    plain = read(lambda image: image)
    cells = list[str]()
    for acts in CHANGES.values():
        changed = [plain, *map(read, acts)]
        ages = np.stack([columns["age_years"] for columns in changed])
        genders = np.stack([columns["p_female"] >= 0.5 for columns in changed])
        middle, far = np.percentile(ages.max(axis=0) - ages.min(axis=0), [50, 95])
        flips = float((genders.min(axis=0) != genders.max(axis=0)).mean())
        cells.append(f"{middle:.1f} / {far:.1f} years, {100 * flips:.1f} %")
    return [
        f"{len(images):,} chips of test: median / 95th percentile of the range of the predicted "
        "ages, and the share of chips whose gender changes.", "",
        *harness.table(["network", *CHANGES], [(network.bundle.name, *cells)]),
    ]  # fmt: skip
