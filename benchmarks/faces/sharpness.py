"""How much the age hangs on how sharp a face is: the same faces, treated."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.faces.readings import Chips, Network, errors
from benchmarks.faces.scenes import jpeg, png
from benchmarks.faces.settings import Settings
from model.faces.crops import FaceSearch, crops_of
from model.preprocessing import InputSpec
from pipelines.bundles.opening import open_bundle

_CHIPS, _CHIP_PX, _SMALL_PX = 1000, 200, 70
_MOST_YEARS = 1.0
Act = Callable[[Image.Image], Image.Image]


def _recompressed(image: Image.Image) -> Image.Image:
    return Image.open(io.BytesIO(jpeg(image, 60))).convert("RGB")


def _through(side: float) -> Act:
    """Down to a side and up again, bilinear as most cameras and web pages do."""

    def act(image: Image.Image) -> Image.Image:
        small = image.resize((round(side), round(side * image.height / image.width)),
                             Image.Resampling.BILINEAR)  # fmt: skip
        return small.resize(image.size, Image.Resampling.BICUBIC)

    return act


TREATMENTS: dict[str, Act] = {
    "sharpened (unsharp mask, radius 1.5 px, 150 %)": lambda image: image.filter(
        ImageFilter.UnsharpMask(1.5, 150, 0)
    ),
    "blurred by 1.5 px": lambda image: image.filter(ImageFilter.GaussianBlur(1.5)),
    "taken to 70 px and up again": _through(_SMALL_PX),
    "recompressed at JPEG quality 60": _recompressed,
    "enlarged twice": lambda image: image.resize(
        (2 * image.width, 2 * image.height), Image.Resampling.BICUBIC
    ),
}


def sharpness(settings: Settings) -> list[str]:
    """Chips of test and faces of photographs, as they are and treated."""
    network = Network(open_bundle(settings.bundle))
    chips = Chips.of(settings.manifest, "test", settings.chips or _CHIPS)
    images = [chips.image(i).resize((_CHIP_PX, _CHIP_PX)) for i in range(len(chips.files))]
    lines = [
        f"{len(images):,} chips of test and the faces of the photographs, aligned to chips of "
        f"{_CHIP_PX} px, treated and read whole by {network.bundle.name} ({network.bundle.id}). "
        f"Moves: the mean age, against the same faces untreated; at most {_MOST_YEARS:g} year is "
        "wanted. Change: the mean of the absolute changes.", "",
        "| faces | treatment | mean age | moves | change | age MAE | gender, % |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    lines += _rows("chips", images, network, chips)
    if not settings.lacks_photos:
        faces, scored = _faces_of(settings, network)
        lines += _rows("photographs", faces, network, None)
        lines += [
            "", f"The photographs' {len(faces)} faces as scoring aligns them, straight to "
            f"{network.bundle.input.width} px: mean age {scored.mean():.1f}.",
        ]  # fmt: skip
    return lines


def _rows(
    title: str, images: list[Image.Image], network: Network, chips: Chips | None
) -> list[str]:
    usual = _read(images, network)
    lines = [_row(title, "none", usual, usual, chips)]
    for name, act in TREATMENTS.items():
        lines.append(_row(title, name, _read([act(i) for i in images], network), usual, chips))
        print(lines[-1], flush=True)
    return lines


def _read(images: list[Image.Image], network: Network) -> dict[str, np.ndarray]:
    spec = network.bundle.input
    return network.read(np.concatenate([crops_of(png(i), spec).pixels for i in images]))


def _row(
    title: str, name: str, here: dict[str, np.ndarray], usual: dict[str, np.ndarray],
    chips: Chips | None,
) -> str:  # fmt: skip
    ages, before = here["age_years"], usual["age_years"]
    moves = float((ages - before).mean())
    figures = "– | –"
    if chips is not None:
        age, right = errors(here, chips.age, chips.female)
        figures = f"{age.mean():.2f} | {100 * right.mean():.1f}"
    missed = " (missed)" if abs(moves) > _MOST_YEARS else ""
    return (
        f"| {title} | {name} | {ages.mean():.1f} | {moves:+.2f}{missed} | "
        f"{np.abs(ages - before).mean():.2f} | {figures} |"
    )


def _faces_of(settings: Settings, network: Network) -> tuple[list[Image.Image], np.ndarray]:
    """Faces of the photographs as chips, and their ages as scoring reads them."""
    large = InputSpec(_CHIP_PX, _CHIP_PX, "rgb", alignment=network.bundle.input.alignment)
    chips, pixels = list[Image.Image](), list[np.ndarray]()
    for path in sorted(settings.photos.glob("*.jpg")):
        data = path.read_bytes()
        chips += [Image.fromarray(p) for p in crops_of(data, large, FaceSearch()).pixels]
        pixels.append(crops_of(data, network.bundle.input, FaceSearch()).pixels)
    return chips, network.read(np.concatenate(pixels))["age_years"]
