"""Where a picture's time goes on one core, stage by stage: `python -m benchmarks.stages`.

Each stage alone on the same pictures, one thread, the stages taking turns; then `jobs.score` with
one worker, of which what is left is rows, Parquet and Python. Writes docs/benchmarks/stages.md.
"""

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks._contenders import ROOT, command_line
from model import pictures
from model.engines.choosing import INT8, Compute
from model.predictor import Predictor
from model.preprocessing import decode_image
from model.runtime import machine
from model.statistics import image_statistics
from pipelines.bundles.opening import open_bundle

DOCUMENT = ROOT / "docs" / "benchmarks" / "stages.md"
TURNS, TURN_IMAGES, BATCH = 5, 512, 64


def stages(paths: list[Path]) -> dict[str, Callable[[], object]]:
    """Name -> what is done with all of the pictures."""
    bundle = open_bundle(None)
    files = [path.read_bytes() for path in paths]
    pixels = np.stack([decode_image(data, bundle.input).pixels for data in files])
    ways = INT8, Compute("tensorflow", "bfloat16")
    int8, bfloat16 = (Predictor(bundle, way, BATCH, threads=1) for way in ways)

    def decode() -> None:
        for data in files:
            decode_image(data, bundle.input)

    def decode_by_pillow() -> None:
        with mock.patch.object(pictures, "_plain", lambda *_: None):
            decode()

    return {
        "read": lambda: [path.read_bytes() for path in paths],
        "decode and resize": decode,
        "... the same by Pillow alone": decode_by_pillow,
        "network, int8": lambda: int8.predict(pixels),
        "... in bfloat16 by TensorFlow": lambda: bfloat16.predict(pixels),
        "statistics of the picture": lambda: image_statistics(pixels),
    }


def whole_us(images: Path) -> float:
    """Microseconds an image of `jobs.score` with one worker, after start-up."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "jobs.score", "--images", str(images), "--output",
             f"{folder}/out", "--faces", "crop", "--compute", "int8", "--workers", "1"],
            check=True, cwd=ROOT, capture_output=True,
        )  # fmt: skip
        return 1e6 / json.loads(Path(folder, "out", "run.json").read_text())["images_per_s"]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, default=ROOT.parent / "shared/data/utkface")
    arguments = parser.parse_args()
    paths = sorted(arguments.images.rglob("*.jpg"))[:: max(1, 18_975 // TURN_IMAGES)]
    paths = paths[:TURN_IMAGES]
    times: dict[str, list[float]] = {}
    done = stages(paths)
    for _ in range(TURNS):
        for name, act in done.items():
            began = time.process_time()
            act()
            times.setdefault(name, []).append(1e6 * (time.process_time() - began) / len(paths))
    us = {name: statistics.median(values) for name, values in times.items()}
    whole = statistics.median(whole_us(arguments.images) for _ in range(3))
    path = [name for name in us if not name.startswith("...")]
    lines = [
        "# Where a picture's time goes",
        "",
        f"`{command_line()}`, {datetime.datetime.now(datetime.UTC).date()}, {machine()}, load at "
        f"the end {os.getloadavg()[0]:.1f}. Microseconds a picture on one core, medians of {TURNS} "
        f"turns over {len(paths)} chips of UTKFace, taken whole.",
        "",
        "| stage | µs |",
        "|---|---:|",
        *(f"| {name} | {value:,.0f} |" for name, value in us.items()),
        f"| rows, Parquet, Python: what is left | {whole - sum(us[name] for name in path):,.0f} |",
        f"| **all of `jobs.score` with one worker** | **{whole:,.0f}** |",
    ]
    DOCUMENT.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
