"""Recall and accuracy on chips that are pasted into canvases, and on chips as they are."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.faces.readings import Chips, Network, errors, paired, signed
from benchmarks.faces.scenes import ACROSS, DOWN, canvas, jpeg
from benchmarks.faces.settings import Settings
from model import metrics
from model.faces.crops import FaceSearch, crops_of
from pipelines.bundles.opening import open_bundle

SIDES = (32, 48, 64, 96, 128, 200, 400, 600)
ROLLS = (0, 10, 20, 30, 45)
_CHIPS_A_CELL, _CHIPS_A_THRESHOLD = 600, 300
THRESHOLDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.88, 0.9, 0.92, 0.95)
_QUALITY = 95


@dataclasses.dataclass(frozen=True)
class Found:
    """What of some pasted chips was found.

    Attributes:
        pixels: a crop for each chip that was found.
        at: their numbers among the chips.
        chips: that were pasted.
        false: faces where no chip is, and second ones of a chip.
        off: degrees between how each was turned and how it was said to lean.
    """

    pixels: np.ndarray
    at: np.ndarray
    chips: int
    false: int
    off: np.ndarray

    @property
    def recall(self) -> float:
        """Share of the chips that was found."""
        return len(self.at) / self.chips


def find_pasted(
    chips: Chips, network: Network, side: int, degrees: float, search: FaceSearch, seed: int
) -> Found:
    """Paste all chips at a side and a roll, and look for them."""
    spec, rng = network.bundle.input, np.random.default_rng([seed, side, round(degrees)])
    pixels, at, off, false = [np.empty((0, *spec.shape), np.uint8)], list[int](), list[float](), 0
    for numbers in _groups(len(chips.files)):
        image, pasted = canvas([chips.image(i) for i in numbers], side, degrees, rng)
        crops = crops_of(jpeg(image, _QUALITY), spec, search)
        free = dict(zip(numbers, pasted, strict=True))
        for i, face in enumerate(crops.faces or ()):
            number = next((n for n, place in free.items() if place.holds(face)), None)
            if number is None:
                false += 1
                continue
            off.append((face.roll_degrees - free.pop(number).roll + 180) % 360 - 180)
            at.append(number)
            pixels.append(crops.pixels[i : i + 1])
    return Found(
        np.concatenate(pixels), np.array(at, int), len(chips.files), false, np.array(off)
    )  # fmt: skip


def _groups(count: int) -> Iterator[Sequence[int]]:
    for start in range(0, count, ACROSS * DOWN):
        yield range(start, min(count, start + ACROSS * DOWN))


def whole(chips: Chips, network: Network) -> dict[str, np.ndarray]:
    """What is read off the chips as they are."""
    spec = network.bundle.input
    return network.read(np.concatenate([crops_of(data, spec).pixels for data in chips.files]))


def canvases(settings: Settings) -> list[str]:
    """Every side and roll, at the defaults, on test."""
    network = Network(open_bundle(settings.bundle))
    chips = Chips.of(settings.manifest, "test", settings.chips or _CHIPS_A_CELL)
    age, right = errors(whole(chips, network), chips.age, chips.female)
    lines = [
        f"{len(chips.files):,} chips of test in each row, {ACROSS}x{DOWN} a canvas of noise, "
        f"clouds, gradients, stripes or tiles, JPEG quality {_QUALITY}, turned to one side or the "
        f"other, read by {network.bundle.name} ({network.bundle.id}). Whole: the same chips, those "
        "that were found, scored as they are. The difference is find minus whole, with its paired "
        "95 % interval. Off: mean of the absolute degrees between how a chip was turned and how "
        "the face is said to lean.", "",
        "| side, px | turned, degrees | recall | false | off | age MAE, whole | find | difference |"
        " gender, whole, % | find | difference, points |",
        "|---:|---:|---:|---:|---:|---:|---:|---|---:|---:|---|",
    ]  # fmt: skip
    for side in SIDES:
        for degrees in ROLLS:
            found = find_pasted(chips, network, side, degrees, FaceSearch(), 0)
            lines.append(f"| {side} | {degrees} | {_row(found, chips, network, age, right)} |")
            print(lines[-1], flush=True)
    return lines


def _row(
    found: Found, chips: Chips, network: Network, age: np.ndarray, right: np.ndarray
) -> str:  # fmt: skip
    head = f"{found.recall:.4f} | {found.false}"
    if not len(found.at):
        return head + " | –" * 7
    at = found.at
    here = errors(network.read(found.pixels), chips.age[at], chips.female[at])
    return (
        f"{head} | {np.abs(found.off).mean():.1f} | {age[at].mean():.2f} | {here[0].mean():.2f} | "
        f"{signed(paired(here[0], age[at]))} | {100 * right[at].mean():.1f} | "
        f"{100 * here[1].mean():.1f} | {signed(paired(here[1], right[at]), 1, 100)}"
    )


def thresholds(settings: Settings) -> list[str]:
    """Recall and false faces on canvases of val at each least score: how the default was chosen."""
    network = Network(open_bundle(settings.bundle))
    chips = Chips.of(settings.manifest, "val", settings.chips or _CHIPS_A_THRESHOLD)
    lines = [
        f"{len(chips.files):,} chips of val in each cell, sides {SIDES[1]} to {SIDES[-1]}, turned "
        f"by 0 and 20 degrees. `FaceSearch.min_score` is {FaceSearch().min_score}.", "",
        "| least score | recall, 48 px | recall, 64 px up | false faces of all chips pasted |",
        "|---:|---:|---:|---:|",
    ]  # fmt: skip
    for least in THRESHOLDS:
        cells = {
            (side, degrees): find_pasted(chips, network, side, degrees, FaceSearch(least), 1)
            for side in SIDES[1:]
            for degrees in (0, 20)
        }
        small = [found for (side, _), found in cells.items() if side == SIDES[1]]
        large = [found for (side, _), found in cells.items() if side > SIDES[1]]
        lines.append(
            f"| {least} | {np.mean([f.recall for f in small]):.4f} | "
            f"{np.mean([f.recall for f in large]):.4f} | "
            f"{sum(f.false for f in cells.values())} of {sum(f.chips for f in cells.values()):,} |"
        )
        print(lines[-1], flush=True)
    return lines


def as_they_are(settings: Settings) -> list[str]:
    """Test chips under find and under whole."""
    network = Network(open_bundle(settings.bundle))
    chips = Chips.of(settings.manifest, "test", settings.chips)
    spec = network.bundle.input
    counts, largest = np.zeros(len(chips.files), int), list[np.ndarray]()
    for number, data in enumerate(chips.files):
        crops = crops_of(data, spec, FaceSearch())
        counts[number] = len(crops.faces or ())
        largest += [crops.pixels[0]] if counts[number] else []
    known = counts > 0
    age, female = chips.age[known], chips.female[known]
    here = network.read(np.stack(largest))
    there = {name: column[known] for name, column in whole(chips, network).items()}
    one, two = errors(here, age, female), errors(there, age, female)
    estimates = [
        metrics.evaluate(age, c["age_years"], female, c["p_female"]) for c in (here, there)
    ]
    texts = [(e["age_mae"].text(2), e["gender_accuracy"].text(1, True)) for e in estimates]
    return [
        f"{len(counts):,} chips of test, {network.bundle.name} ({network.bundle.id}); 95 % "
        "intervals in brackets, that of the difference paired. Of a chip with several faces the "
        "largest counts.", "",
        "| | find | whole | difference |", "|---|---:|---:|---|",
        f"| exactly one face | {100 * (counts == 1).mean():.2f} % | | |",
        f"| no face / several | {(counts == 0).sum()} / {(counts > 1).sum()} | | |",
        f"| age MAE, years | {texts[0][0]} | {texts[1][0]} | {signed(paired(one[0], two[0]))} |",
        f"| gender | {texts[0][1]} | {texts[1][1]} | {signed(paired(one[1], two[1]), 1, 100)} "
        "points |",
    ]  # fmt: skip
