"""What engines and precisions cost in truth: `python -m benchmarks.engines`.

Each labelled image of val and test is predicted in float32, bfloat16 and int8, and compared with
itself: paired differences with 95 % intervals, by split, age decade and gender. Then the speed of
the network alone on one thread, in turns, and int8 on CPUs without VNNI, which oneDNN pretends to
be. Writes docs/benchmarks/engines.md.
"""

import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from model import calibration, labels
from model.backends.acceptance import compare
from model.backends.selection import INT8, REFERENCE, Compute
from model.bundle import Bundle
from model.calibration import Reading
from model.predictor import Predictor

SMALL, FULL = (500, 1), (18_975, 5)  # images, turns
WAYS = (
    REFERENCE,
    Compute("tensorflow", "bfloat16"),
    Compute("openvino", "float32"),
    Compute("openvino", "bfloat16"),
    INT8,
)
TURN_IMAGES, BATCH = 512, 64
MIN_GROUP = 50  # images of a group of people that is reported
INSTRUCTION_SETS = ("AVX512_CORE_AMX", "AVX2_VNNI", "AVX512_CORE", "AVX2")


def pixels_of(manifest_uri: str, bundle: Bundle) -> dict[str, tuple[Any, Any, Any]]:
    """Pixels, ages and genders of each split."""
    from pipelines.cluster.session import start_ray
    from pipelines.images.decoding import decode_in_parts
    from pipelines.manifests import manifest

    start_ray()
    table = manifest.read_manifest(manifest_uri)
    splits: dict[str, tuple[Any, Any, Any]] = {}
    for split in ("val", "test"):
        parts = list(decode_in_parts(manifest.labelled(table, split), bundle.input, split))
        ages, genders = (
            np.concatenate([manifest.codes(rows, name) for rows, _ in parts])
            for name in ("age_years", "gender")
        )
        splits[split] = np.concatenate([images.pixels for _, images in parts]), ages, genders
    return splits


def _signed(change: dict[str, float], scale: float, digits: int) -> str:
    value, low, high = (f"{scale * change[k]:+.{digits}f}" for k in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def errors(bundle: Bundle, splits: dict[str, tuple[Any, Any, Any]]) -> list[str]:
    """Markdown of the paired differences to float32 by TensorFlow."""
    lines = [
        "| split | people | images | way | age error, years | gender, points | genders changed | "
        "mean age moved | coverage, points |",
        "|---|---|---:|---|---:|---:|---:|---:|---:|",
    ]
    for split, (pixels, ages, genders) in splits.items():
        predicted = {way: _answers(bundle, way, pixels) for way in WAYS}
        for people, chosen in _groups(ages, genders).items():
            picked = {
                w: {k: v[chosen] for k, v in columns.items()} for w, columns in predicted.items()
            }
            truth = ages[chosen], genders[chosen]
            mae = np.nanmean(np.abs(picked[REFERENCE]["age_years"] - truth[0]))
            right = np.nanmean((picked[REFERENCE]["p_female"] >= 0.5) == (truth[1] > 0.5))
            lines.append(
                f"| {split} | {people} | {chosen.sum():,} | {REFERENCE.words} | {mae:.3f} | "
                f"{100 * right:.2f} % | | | |"
            )
            for way in WAYS[1:]:
                if people != "all" and way.precision != "int8":
                    continue
                change = compare(picked[REFERENCE], picked[way], *truth)
                lines.append(
                    f"| | | | {way.words} | {_signed(change['age_mae'], 1, 3)} | "
                    f"{_signed(change['gender_accuracy'], 100, 2)} | {change['flips']} | "
                    f"{change['age_shift']:+.3f} | {100 * change['coverage']:+.2f} |"
                )
    return lines


def _answers(bundle: Bundle, way: Compute, pixels: Any) -> dict[str, Any]:
    raw = Predictor(bundle, way).predict(pixels)
    answers = calibration.apply(raw, bundle.calibration_in(way.precision), Reading(), bundle.heads)
    return {name: values for name, values in answers.items() if np.ndim(values) == 1}


def _groups(ages: Any, genders: Any) -> dict[str, Any]:
    decade = labels.bin_of(np.nan_to_num(ages), labels.DECADES)
    groups = {"all": np.ones(len(ages), bool), "female": genders == 1, "male": genders == 0}
    names = labels.bin_names(labels.DECADES)
    groups |= {f"aged {names[i]}": decade == i for i in range(len(names))}
    return {name: chosen for name, chosen in groups.items() if chosen.sum() >= MIN_GROUP}


def speeds(bundle: Bundle, pixels: Any, rounds: int) -> list[str]:
    """Markdown of images/s of the network alone, one thread, in turns."""

    def rate(predictor: Predictor) -> float:
        some = pixels[:TURN_IMAGES]
        return len(some) / harness.seconds(lambda: predictor.predict(some), time.process_time)

    ways = {
        way.words: functools.partial(rate, Predictor(bundle, way, BATCH, threads=1)) for way in WAYS
    }
    rows = [
        (name, f"{statistics.median(rates):,.0f}", ", ".join(f"{one:,.0f}" for one in rates))
        for name, rates in harness.turns(ways, rounds).items()
    ]
    return harness.table(["way", "images/s, one thread:", "all turns"], rows)


def instruction_sets(bundle: Bundle, pixels: Any) -> list[str]:
    """Markdown of what int8 predicts on CPUs that lack something."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/pixels.npy", pixels[:1024])
        for name in INSTRUCTION_SETS:
            asked = (str(bundle.folder), folder, name)
            code = f"from benchmarks.engines import answer; answer(*{asked!r})"
            subprocess.run(
                [sys.executable, "-c", code], check=True, cwd=harness.ROOT,
                env={**os.environ, "ONEDNN_MAX_CPU_ISA": name},
            )  # fmt: skip
        found = {name: np.load(f"{folder}/{name}.npz") for name in INSTRUCTION_SETS}
    lines = [
        "| oneDNN may use | int8: age differs at most, years | on average | genders changed | "
        "float32: age differs at most, years |",
        "|---|---:|---:|---:|---:|",
    ]
    first = found[INSTRUCTION_SETS[0]]
    for name, answers in found.items():
        moved = np.abs(answers["int8_age"] - first["int8_age"])
        flips = int(((answers["int8_female"] >= 0.5) != (first["int8_female"] >= 0.5)).sum())
        floats = np.abs(answers["float32_age"] - first["float32_age"]).max()
        lines.append(
            f"| {name} | {moved.max():.2g} | {moved.mean():.2g} | {flips} | {floats:.2g} |"
        )
    return lines


def answer(bundle_folder: str, folder: str, name: str) -> None:
    """Predict the images in int8 and float32, for `instruction_sets`."""
    from model.bundle import read_bundle

    bundle, pixels = read_bundle(bundle_folder), np.load(f"{folder}/pixels.npy")
    found: dict[str, Any] = {}
    for way in (INT8, Compute("openvino", "float32")):
        columns = Predictor(bundle, way, threads=1).predict(pixels)
        found[f"{way.precision}_age"] = columns["age_years"]
        found[f"{way.precision}_female"] = columns["p_female"]
    np.savez(f"{folder}/{name}.npz", **found)


def main() -> None:
    """Measure and write the tables."""
    from pipelines.bundles.opening import open_bundle

    parser = harness.arguments(__doc__, "benchmarks/engines.md")
    parser.add_argument("--bundle", help="default: the shipped one")
    given = harness.parsed(parser)
    count, rounds = FULL if given.full else SMALL
    bundle = open_bundle(given.bundle)
    with tempfile.TemporaryDirectory(prefix="facemill-bench-") as folder:
        splits = pixels_of(harness.manifest(Path(folder), given.images, count), bundle)
    changes = errors(bundle, splits)
    sets = instruction_sets(bundle, splits["val"][0])
    rates = speeds(bundle, splits["val"][0], rounds)
    harness.write(given, [
        f"Bundle {bundle.name} ({bundle.id}).", "",
        "### Speed of the network alone", "", *rates, "",
        "### What they change", "",
        "Each image against itself in float32 by TensorFlow; 95 % intervals of the paired",
        "differences. Rows of the reference show its own error, and how often its gender is right.",
        "", *changes, "",
        "### On other CPUs", "",
        "The same int8 network and the same images, with oneDNN told to use no more than some",
        "instructions. Where bytes are multiplied by VNNI, rows agree to the last digits that are",
        "printed; elsewhere they do not, so int8 is for CPUs with VNNI alone.",
        "", *sets,
    ])  # fmt: skip


if __name__ == "__main__":
    main()
