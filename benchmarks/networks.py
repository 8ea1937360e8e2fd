"""Bundles side by side: size, cost, accuracy by age, speed, steadiness under small changes.

`python -m benchmarks.networks --manifest runs/manifest --bundles A B …` writes
docs/benchmarks/networks.md. The first bundle is the one that the others are compared with.
"""

import argparse
import datetime
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance

from benchmarks._contenders import ROOT, command_line, is_missing
from jobs.cli import quiet_libraries
from model import metrics
from model.bundle import Bundle
from model.engines.choosing import Compute
from model.preprocessing import decode_image
from model.runtime import machine

DOCUMENT = ROOT / "docs" / "benchmarks" / "networks.md"
BANDS = ((0, 3), (4, 12), (13, 19), (20, 39), (40, 69), (70, 116))
BATCH = 64
PRECISIONS = ("float32", "bfloat16")
TURN_IMAGES, TURN_S = 256, 2.0  # a turn of a slow network is cut after so many seconds
Floats = npt.NDArray[np.float32]


def crop(share: float) -> Callable[[Image.Image], Image.Image]:
    """Cut `share` of the side off each edge."""

    def act(image: Image.Image) -> Image.Image:
        w, h = image.size
        return image.crop((round(w * share), round(h * share), round(w * (1 - share)),
                           round(h * (1 - share))))  # fmt: skip

    return act


def shift(x: float, y: float) -> Callable[[Image.Image], Image.Image]:
    """Move the picture by shares of its side; what is uncovered repeats the edge."""

    def act(image: Image.Image) -> Image.Image:
        pixels = np.asarray(image)
        h, w = pixels.shape[:2]
        rows = np.clip(np.arange(h) - round(y * h), 0, h - 1)
        columns = np.clip(np.arange(w) - round(x * w), 0, w - 1)
        return Image.fromarray(pixels[rows][:, columns])

    return act


def bright(factor: float) -> Callable[[Image.Image], Image.Image]:
    """Multiply the brightness."""
    return lambda image: ImageEnhance.Brightness(image).enhance(factor)


CHANGES: dict[str, dict[str, Callable[[Image.Image], Image.Image]]] = {
    "crops of 2.5, 5, 10 % off each edge": {f"c{s}": crop(s) for s in (0.025, 0.05, 0.1)},
    "shifts of 5 % in four directions": {
        f"s{x}{y}": shift(x, y) for x, y in ((0.05, 0), (-0.05, 0), (0, 0.05), (0, -0.05))
    },
    "brightness x 0.7, 0.85, 1.15, 1.3": {f"b{f}": bright(f) for f in (0.7, 0.85, 1.15, 1.3)},
}


def predictions(bundle: Bundle, rows: Any, precision: Any = "float32") -> dict[str, Floats]:
    """Columns of the manifest rows, calibrated as scoring does."""
    from model.calibration import Reading, apply
    from model.predictor import Predictor
    from pipelines.scoring.rows import decode_entries

    predictor = Predictor(bundle, Compute("tensorflow", precision), BATCH)
    batches = list(decode_entries(rows.select(["uri", "bytes", "offset"]).to_pylist(),
                                  bundle.input, 512))  # fmt: skip
    pixels = np.concatenate([batch.pixels for batch in batches])
    if len(pixels) != rows.num_rows:
        raise SystemExit(f"{rows.num_rows - len(pixels)} images of the manifest do not decode")
    return apply(predictor.predict(pixels), bundle.record.get("calibration"), Reading())


def accuracy(bundles: dict[str, Bundle], rows: Any, precision: str) -> tuple[list[str], list[str]]:
    """Markdown rows of the metrics, and of the error by age."""
    from model.bundle import load_network
    from model.networks import count_flops
    from pipelines.manifests.manifest import codes

    age, gender = codes(rows, "age_years"), codes(rows, "gender")
    nothing = np.full(rows.num_rows, np.nan, dtype=np.float32)
    lines, bands, first = list[str](), list[str](), dict[int, float]()
    for name, bundle in bundles.items():
        columns = predictions(bundle, rows, precision)
        predicted = columns.get("age_years", nothing)
        estimates = metrics.evaluate(age, predicted, gender, columns.get("p_female", nothing))
        network: Any = load_network(bundle, "float32")
        training, history = bundle.record["training"], bundle.record["history"]
        lines.append(
            f"| {name} | {network.count_params():,} | {count_flops(network) / 1e9:.3f} | "
            f"{len(history)} epochs, {sum(row['seconds'] for row in history):,.0f} s of steps, "
            f"{training.get('precision', '?')} | {_text(estimates, 'age_mae')} | "
            f"{_text(estimates, 'age_within_5', True)} | "
            f"{_text(estimates, 'gender_accuracy', True)} |"
        )
        if "age_mae" not in estimates:
            continue
        cells: list[str] = []
        for number, (low, high) in enumerate(BANDS):
            chosen = (age >= low) & (age <= high)
            error = float(np.abs(predicted - age)[chosen].mean())
            first.setdefault(number, error)
            cells.append(f"{error:.2f} ({100 * (error / first[number] - 1):+.0f} %)")
        bands.append(f"| {name} | {' | '.join(cells)} |")
    return lines, bands


def _text(estimates: dict[str, metrics.Estimate], name: str, percent: bool = False) -> str:
    return estimates[name].text(1 if percent else 2, percent) if name in estimates else "–"


def speeds(bundles: dict[str, Bundle], rounds: int) -> list[str]:
    """Images/s of the network alone, all bundles and precisions taking turns; medians."""
    from model.bundle import load_network
    from model.networks import count_flops
    from model.predictor import Predictor

    makers: dict[tuple[str, str], tuple[Any, Any]] = {}
    size: dict[str, str] = {}
    rng = np.random.default_rng(0)
    for name, bundle in bundles.items():
        pixels = rng.integers(0, 255, (BATCH, *bundle.input.shape), dtype=np.uint8)
        network: Any = load_network(bundle, "float32")
        size[name] = f"{network.count_params():,} | {count_flops(network) / 1e9:.3f}"
        for precision in PRECISIONS:
            makers[name, precision] = (
                Predictor(bundle, Compute("tensorflow", precision), BATCH),
                pixels,
            )
    times: dict[tuple[str, str], list[float]] = {key: [] for key in makers}
    for _ in range(rounds):
        for key, (predictor, pixels) in makers.items():
            began, images, seconds = time.perf_counter(), 0, 0.0
            while images < TURN_IMAGES and seconds < TURN_S:
                predictor.predict(pixels)
                images, seconds = images + BATCH, time.perf_counter() - began
            times[key].append(images / seconds)
    rate = {key: statistics.median(values) for key, values in times.items()}
    first = next(iter(bundles))
    return [
        "| " + " | ".join(
            [name, size[name]]
            + [f"{rate[name, p]:,.0f} (x {rate[name, p] / rate[first, p]:.2f})"
               for p in PRECISIONS]
        ) + " |"
        for name in bundles
    ]  # fmt: skip


def scoring(bundles: dict[str, Bundle], images: str, rounds: int) -> list[str]:
    """Images/s of `jobs.score` with each bundle, in turns: from files to Parquet; medians."""
    rates = {(name, precision): list[float]() for precision in PRECISIONS for name in bundles}
    for name, precision in list(rates) * rounds:
        with tempfile.TemporaryDirectory(prefix="facemill-bench-") as folder:
            command = [sys.executable, "-m", "jobs.score", "--images", images,
                       "--bundle", str(bundles[name].folder), "--precision", precision,
                       "--output", folder]  # fmt: skip
            subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
            run = json.loads(Path(folder, "run.json").read_text())
            rates[name, precision].append(run["images_per_s"])
    middle = {key: statistics.median(turns) for key, turns in rates.items()}
    first = next(iter(bundles))
    return [
        f"| {name} | {precision} | {middle[name, precision]:,.0f} "
        f"(x {middle[name, precision] / middle[first, precision]:.2f}) | "
        f"{', '.join(f'{rate:,.0f}' for rate in turns)} |"
        for (name, precision), turns in rates.items()
    ]


def untrained(name: str, folder: Path) -> Bundle:
    """A preset's network as it starts: as fast as a trained one."""
    from model.bundle import write_bundle
    from model.networks import build_network
    from model.presets import preset

    recipe = preset(name)
    network = build_network(recipe.network, recipe.input.shape, recipe.kept_heads, norm="folded")
    return write_bundle(
        folder / name, network, name=name, input_spec=recipe.input, heads=recipe.kept_heads,
        details={},
    )  # fmt: skip


def steadiness(bundles: dict[str, Bundle], rows: Any, images: int) -> list[str]:
    """How far an age moves and how often a gender flips under changes that no person would mind."""
    from model.predictor import Predictor
    from pipelines.storage import read_bytes

    chosen = np.random.default_rng(0).permutation(rows.num_rows)[:images]
    uris = [rows["uri"][int(i)].as_py() for i in chosen]
    pictures = [Image.open(io.BytesIO(read_bytes(uri))).convert("RGB") for uri in uris]
    lines: list[str] = []
    for name, bundle in bundles.items():
        if not {"age_years", "gender"} <= {head.label for head in bundle.heads}:
            continue
        predictor = Predictor(bundle, batch_size=BATCH)

        def read(act: Callable[[Image.Image], Image.Image]) -> dict[str, Floats]:
            decoded = [decode_image(_png(act(p)), bundle.input).pixels for p in pictures]  # noqa: B023
            return predictor.predict(np.stack(decoded))  # noqa: B023

        plain = read(lambda image: image)
        cells: list[str] = []
        for acts in CHANGES.values():
            changed = [plain, *map(read, acts.values())]
            ages = np.stack([columns["age_years"] for columns in changed])
            spread = ages.max(axis=0) - ages.min(axis=0)
            sides = np.stack([columns["p_female"] >= 0.5 for columns in changed])
            flips = float((sides.min(axis=0) != sides.max(axis=0)).mean())
            middle, far = np.percentile(spread, [50, 95])
            cells.append(f"{middle:.1f} / {far:.1f} y, {100 * flips:.1f} %")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--manifest", default="runs/manifest")
    shipped = [f"bundles/{name}" for name in ("seed-final", "facemill-utkface")]
    parser.add_argument("--bundles", nargs="+", default=shipped, metavar="[NAME=]URI")
    parser.add_argument("--presets", nargs="*", default=[], help="untrained, for speed alone")
    parser.add_argument("--split", default="test", choices=["val", "test"])
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=9, help="of the speed table")
    parser.add_argument("--images", type=int, default=500, help="for the steadiness table")
    faces = ROOT.parent / "shared" / "data" / "utkface"
    parser.add_argument("--score", default=str(faces), help="folder for the table of jobs.score")
    parser.add_argument("--score-rounds", type=int, default=3, help="of that table")
    parser.add_argument("--output", type=Path, default=DOCUMENT)
    arguments = parser.parse_args()
    if is_missing(arguments.manifest):
        return
    if not Path(arguments.score).is_dir():
        parser.error(f"--score {arguments.score} is missing: give a folder of images")
    quiet_libraries()
    from pipelines.bundles.opening import open_bundle
    from pipelines.manifests.manifest import labelled, read_manifest

    rows = labelled(read_manifest(arguments.manifest), arguments.split)
    bundles: dict[str, Bundle] = {}
    for argument in arguments.bundles:
        name, _, uri = argument.rpartition("=")
        bundle = open_bundle(uri)
        bundles[name or bundle.name] = bundle
    with tempfile.TemporaryDirectory() as folder:
        fresh = {name: untrained(name, Path(folder)) for name in arguments.presets}
        rates = speeds({**bundles, **fresh}, arguments.rounds)
    scored = scoring(bundles, arguments.score, arguments.score_rounds)
    lines, bands = accuracy(bundles, rows, arguments.precision)
    steady = steadiness(bundles, rows, arguments.images)
    text = document(arguments, rows.num_rows, lines, bands, rates, scored, steady)
    arguments.output.write_text(text)
    print(text)


def document(
    arguments: argparse.Namespace,
    count: int,
    lines: list[str],
    bands: list[str],
    rates: list[str],
    scored: list[str],
    steady: list[str],
) -> str:
    """docs/benchmarks/networks.md."""
    today = datetime.datetime.now(datetime.UTC).date()
    return "\n".join([
        "# Networks side by side", "",
        f"`{command_line()}`, {arguments.split} split, {count:,} images, "
        f"{arguments.precision};",
        "95 % bootstrap intervals in brackets.", "",
        f"{today}, {machine()}, load at the end {os.getloadavg()[0]:.1f}.", "",
        "| network | weights | GFLOP an image | training | age MAE, years | within 5 years |"
        " gender accuracy |",
        "|---|---:|---:|---|---|---|---|", *lines, "",
        "Age MAE by labelled age, and the change against the first row:", "",
        "| network | " + " | ".join(f"{low}–{high}" for low, high in BANDS) + " |",
        "|---|" + "---|" * len(BANDS), *bands, "",
        f"Speed of the network alone, images/s, batch {BATCH}, all cores, in turns, medians; in",
        "brackets the ratio to the first row:", "",
        "| network | weights | GFLOP an image | float32 | bfloat16 |", "|---|---:|---:|---|---|",
        *rates, "",
        "`jobs.score` from files to Parquet, steady state, images/s, in turns, medians:", "",
        "| network | precision | images/s | all rounds |", "|---|---|---|---|", *scored, "",
        f"Steadiness over {arguments.images} random images, changed and handed on without loss (as",
        "PNG, which no JPEG decoder shrinks): median / 95th percentile of the range",
        "of the predicted ages, and the share of images whose gender changes:", "",
        "| network | " + " | ".join(CHANGES) + " |", "|---|" + "---|" * len(CHANGES), *steady,
    ]) + "\n"  # fmt: skip


if __name__ == "__main__":
    main()
