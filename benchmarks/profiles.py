"""What ignoring a colour profile costs, and following it: `python -m benchmarks.profiles`.

Faces of the test split are converted to wide-gamut spaces and saved as JPEG with the profile; the
shipped network reads them by both versions of the pixels. Writes docs/benchmarks/profiles.md.
"""

import argparse
import dataclasses
import datetime
import io
import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from benchmarks._contenders import ROOT, command_line, is_missing
from benchmarks.decoding import photo
from jobs.cli import quiet_libraries
from model import metrics
from model.calibration import Reading
from model.colours import DISPLAY_P3, SRGB, ColourSpace, profile_of
from model.predictor import Predictor
from model.preprocessing import InputSpec, decode_image
from model.runtime import machine
from pipelines import storage
from pipelines.bundles.opening import open_bundle
from pipelines.manifests import manifest
from tests.wide_gamut import ADOBE_RGB

DOCUMENT = ROOT / "docs" / "benchmarks" / "profiles.md"
PROPHOTO = ColourSpace(
    (0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), (0.3457, 0.3585), gamma=1.8
)
SPACES = {"Display P3": DISPLAY_P3, "Adobe RGB": ADOBE_RGB, "ProPhoto RGB": PROPHOTO}
QUALITY: dict[str, Any] = {"quality": 95, "subsampling": 0}
Columns = Mapping[str, npt.NDArray[np.float32]]


def converted(image: Image.Image, space: ColourSpace, kind: str = "JPEG") -> bytes:
    """The picture in the numbers of `space`, saved with its profile."""
    profile = profile_of(space)
    if space != SRGB:
        target = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        source = ImageCms.createProfile("sRGB")
        changed = ImageCms.profileToProfile(
            image, source, target, ImageCms.Intent.RELATIVE_COLORIMETRIC, "RGB"
        )
        assert changed is not None
        image = changed
    return encoded(image, kind, icc_profile=profile)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """An image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **((QUALITY if kind == "JPEG" else {"compress_level": 1}) | options))
    return buffer.getvalue()


def answers(predictor: Predictor, files: list[bytes], version: int) -> Columns:
    """What scoring would write of `files`, decoded by a version of the pixels."""
    spec = dataclasses.replace(predictor.bundle.input, version=version)
    pixels = np.stack([decode_image(data, spec).pixels for data in files])
    return predictor.answers(pixels, Reading())


def effect(name: str, found: Columns, first: Columns, truth: Columns) -> str:
    """A row: how far the answers moved from the `first`, and how good they are."""
    moved = found["age_years"] - first["age_years"]
    flips = (found["p_female"] >= 0.5) != (first["p_female"] >= 0.5)
    changed = f"{int(flips.sum())} ({100 * flips.mean():.1f} %)"
    estimates = metrics.evaluate(
        truth["age_years"], found["age_years"], truth["gender"], found["p_female"]
    )
    return (
        f"| {name} | {np.abs(moved).mean():.2f} | {moved.mean():+.2f} | "
        f"{np.quantile(np.abs(moved), 0.95):.1f} | {changed} | "
        f"{estimates['age_mae'].text(2)} | {estimates['gender_accuracy'].text(1, True)} |"
    )


def costs(
    files: Mapping[str, bytes], spec: InputSpec, rounds: int, repeat: int
) -> dict[str, float]:
    """Seconds to decode each of `files`, in turns; medians."""
    times: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(rounds):
        for name, data in files.items():
            began = time.perf_counter()
            for _ in range(repeat):
                decode_image(data, spec)
            times[name].append((time.perf_counter() - began) / repeat)
    return {name: statistics.median(taken) for name, taken in times.items()}


def cost_rows(face: Image.Image, spec: InputSpec) -> list[str]:
    """Rows of what decoding takes with and without a profile."""
    large = Image.open(io.BytesIO(photo())).convert("RGB")
    rows: list[str] = []
    for title, image, kind, rounds, repeat in (
        ("a face of 200x200, JPEG", face, "JPEG", 15, 100),
        ("12 megapixels, JPEG", large, "JPEG", 5, 2),
        ("12 megapixels, PNG", large, "PNG", 5, 1),
    ):
        files = {
            "none": encoded(image, kind),
            "sRGB": converted(image, SRGB, kind),
            "P3": converted(image, DISPLAY_P3, kind),
        }
        found = costs(files, dataclasses.replace(spec, version=2), rounds, repeat)
        figures = " | ".join(f"{found[name] * 1e3:,.2f}" for name in files)
        rows.append(f"| {title} | {figures} |")
    return rows


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--manifest", default="runs/manifest")
    parser.add_argument("--bundle", help="RGB; default: the shipped one")
    parser.add_argument("--images", type=int, default=1500, help="of the test split")
    parser.add_argument("--output", type=Path, default=DOCUMENT)
    arguments = parser.parse_args()
    if is_missing(arguments.manifest):
        return
    quiet_libraries()
    rows = manifest.labelled(manifest.read_manifest(arguments.manifest), "test")
    chosen = np.random.default_rng(0).permutation(rows.num_rows)[: arguments.images]
    rows = rows.take(chosen)
    data = [storage.read_bytes(uri) for uri in rows["uri"].to_pylist()]
    faces = [Image.open(io.BytesIO(file)).convert("RGB") for file in data]
    truth = {name: manifest.codes(rows, name) for name in ("age_years", "gender")}
    predictor = Predictor(open_bundle(arguments.bundle), threads=1)
    saved = [converted(face, SRGB) for face in faces]
    first = answers(predictor, saved, 2)
    lines = [
        effect("sRGB, saved again: what the others are compared with", first, first, truth),
        effect("the file itself", answers(predictor, data, 2), first, truth),
    ]
    for name, space in SPACES.items():
        files = [converted(face, space) for face in faces]
        for version, what in ((1, "ignored (version 1)"), (2, "followed (version 2)")):
            found = answers(predictor, files, version)
            lines.append(effect(f"{name}, {what}", found, first, truth))
    bundle = predictor.bundle
    text = document(bundle.name, bundle.id, len(faces), lines, cost_rows(faces[0], bundle.input))
    arguments.output.write_text(text)
    print(text)


def document(name: str, bundle_id: str, images: int, lines: list[str], costs: list[str]) -> str:
    """docs/benchmarks/profiles.md."""
    today = datetime.datetime.now(datetime.UTC).date()
    return "\n".join([
        "# Colour profiles", "",
        f"`{command_line()}`: {images:,} faces of UTKFace's test split, converted to the numbers",
        "of a wide-gamut space and saved as JPEG (quality 95) with its profile, as cameras and",
        f"phones do. {name} ({bundle_id}) reads them in float32, the profile ignored and",
        "followed. Moved: against the same face saved again as sRGB; 95 % intervals in brackets.",
        "",
        f"{today}, {machine()}, load at the end {os.getloadavg()[0]:.1f}.", "",
        "| pixels | age moved, years | in the mean | 95 % move less than | gender changed |"
        " age MAE, years | gender right |",
        "|---|---:|---:|---:|---:|---|---|", *lines, "",
        "Ignoring a profile costs little; following it is cheap, so it is followed. UTKFace",
        "holds no colour that sRGB lacks; a photograph's more vivid ones are cut off at",
        "sRGB's edge.", "",
        "What it costs, ms a picture on one core. A profile that says sRGB converts nothing; a",
        "JPEG is converted after its decoder has shrunk it, a PNG after whole pixels of it were",
        "averaged.", "",
        "| | no profile | sRGB | Display P3 |", "|---|---:|---:|---:|", *costs,
    ]) + "\n"  # fmt: skip


if __name__ == "__main__":
    main()
