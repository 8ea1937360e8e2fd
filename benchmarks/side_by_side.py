"""Two checkouts side by side: `python -m benchmarks.side_by_side --before FOLDER`.

Runs `jobs.score` (the shipped bundle on a folder of images) and `jobs.train` (one epoch of 4,000
of them) of another checkout and of this one in turns, A B A B, and writes
docs/benchmarks/side-by-side.md: medians and their ratios. Both run in this environment.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from model.runtime import machine

ROOT = Path(__file__).parents[1]
TRAINED_ON = 4000  # images
DOCUMENT = ROOT / "docs" / "benchmarks" / "side-by-side.md"


def run(checkout: Path, *words: object) -> float:
    """Seconds that a job took."""
    began = time.monotonic()
    command = [sys.executable, "-m", *map(str, words)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))} in {checkout}: {done.stderr[-2000:]}")
    return time.monotonic() - began


def score(checkout: Path, images: Path, output: Path) -> dict[str, float]:
    """Images a second after start-up, start-up and the whole run, in seconds."""
    seconds = run(checkout, "jobs.score", "--images", images, "--output", output)
    record = json.loads((output / "run.json").read_text())
    return {
        "score: images/s": record["images_per_s"],
        "score: start-up, s": record["start_up_s"],
        "score: whole run, s": seconds,
    }


def train(checkout: Path, manifest: Path, output: Path) -> dict[str, float]:
    """Images a second of the epoch, and the whole run with decoding and measuring, in seconds."""
    seconds = run(
        checkout, "jobs.train", "--manifest", manifest, "--output", output, "--preset", "facemill",
        "--precision", "bfloat16", "--epochs", 1,
    )  # fmt: skip
    (row,) = json.loads((output / "bundle" / "bundle.json").read_text())["history"]
    return {"train: images/s": row["images_per_s"], "train: whole run, s": seconds}


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True, help="the other checkout")
    parser.add_argument("--images", type=Path, default=ROOT.parent / "shared/data/utkface")
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    sides = {"before": arguments.before.absolute(), "this": ROOT}
    figures: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        some = folder / "some"  # an epoch of all of them would take two minutes
        some.mkdir()
        for path in sorted(arguments.images.iterdir())[:TRAINED_ON]:
            (some / path.name).symlink_to(path.absolute())
        run(ROOT, "jobs.ingest", "--images", some, "--output", folder / "manifest")
        for turn in range(arguments.turns):
            for side, checkout in sides.items():
                here = folder / f"{side}-{turn}"
                measured = score(checkout, arguments.images, here / "score")
                measured |= train(checkout, folder / "manifest", here / "train")
                print(turn + 1, side, measured, flush=True)
                for name, value in measured.items():
                    figures.setdefault(name, {}).setdefault(side, []).append(value)
    DOCUMENT.write_text(table(figures, arguments.before, arguments.turns))
    print(DOCUMENT.read_text())


def table(figures: dict[str, dict[str, list[float]]], before: Path, turns: int) -> str:
    """The document."""
    name = ["git", "describe", "--tags", "--always"]
    commits = [
        subprocess.run(name, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
        for folder in (before, ROOT)
    ]
    lines = [
        f"# {commits[0]} and {commits[1]} side by side", "",
        f"`python -m benchmarks.side_by_side --before CHECKOUT`, {turns} turns A B A B, medians; "
        f"{time.strftime('%Y-%m-%d')}, {machine()}.", "",
        f"| | {commits[0]} | {commits[1]} | ratio |", "|---|---:|---:|---:|",
    ]  # fmt: skip
    for what, sides in figures.items():
        old, new = (statistics.median(sides[side]) for side in ("before", "this"))
        lines.append(f"| {what} | {old:,.1f} | {new:,.1f} | {new / old:.3f} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
