"""Speed of scoring against other ways to do it: `python -m benchmarks.scoring --images FOLDER`.

Same images, same network (the shipped bundle), same machine; every contender is a process of its
own, the contenders take turns (A B A B …) and the medians count. Writes docs/benchmarks/scoring.md.

    a1  the notebook's way: load_img, resize, network.predict, image by image
    a2  the same, batched
    b   tf.data + network.predict
    c   Ray Data as its documentation shows it: read_images -> map_batches x2 -> write_parquet
    before  facemill of an earlier commit, in bfloat16: `--before FOLDER`, a checkout of it
    d   facemill, at each precision
    e   the bound: decode and network alone, all cores busy: 1 / (t_decode + t_network)
"""

import argparse
import datetime
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks._contenders import BATCHES, BEFORE, BUNDLE, CONTENDERS, ROOT, command_line
from model.runtime import machine

DOCUMENT = ROOT / "docs" / "benchmarks" / "scoring.md"
# Contenders that are slow get a share of the images: their rate is the same from the first second.
SHARE = {"a1": 0.05, "a2": 0.25, "b": 0.5, "c": 0.5, "e-bfloat16": 0.1, "e-int8": 0.1}
NAMES = {
    "a1": "notebook: load_img, resize, predict, one by one",
    "a2": "notebook, batched predict",
    "b": "tf.data + predict",
    "c": "Ray Data as documented",
    "before": "facemill of the earlier commit, bfloat16",
    "d-bfloat16": "**facemill, bfloat16**",
    "d-int8": "**facemill, int8**",
    "e-bfloat16": "bound, bfloat16",
    "e-int8": "bound, int8",
}


def measured(name: str, images: str, limit: int) -> dict[str, float]:
    """Run one contender in a process of its own; images/s and what else it printed."""
    command = [sys.executable, "-m", "benchmarks.scoring", "--images", images,
               "--limit", str(limit), "--contender", name]  # fmt: skip
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    printed: dict[str, float] = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            printed |= json.loads(line)
    return printed


def run_contender(name: str, images: str, limit: int) -> None:
    """Run one contender in this process and print its rate."""
    paths = sorted(str(path.resolve()) for path in Path(images).iterdir())[:limit]
    paths = paths[: max(64, int(len(paths) * SHARE.get(name, 1.0)))]
    folder = tempfile.mkdtemp(prefix="facemill-bench-")
    try:
        seconds = CONTENDERS[name](paths, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps({"images": len(paths), "rate": len(paths) / seconds}), flush=True)


def main() -> None:
    """Take turns, then write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", default=str(ROOT.parent / "shared" / "data" / "utkface"))
    parser.add_argument("--limit", type=int, default=20_000, help="images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS), choices=list(CONTENDERS))
    parser.add_argument(
        "--before", default="", help="checkout of an earlier commit; none: left out"
    )
    parser.add_argument("--contender", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=DOCUMENT)
    arguments = parser.parse_args()
    if arguments.contender:
        run_contender(arguments.contender, arguments.images, arguments.limit)
        return
    if not Path(arguments.images).is_dir():
        print(f"skipped: {arguments.images} is missing; give --images FOLDER")
        return
    os.environ[BEFORE] = arguments.before
    names = [name for name in arguments.only if name != "before" or arguments.before]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(arguments.rounds):
        for name in names:
            runs[name].append(measured(name, arguments.images, arguments.limit))
            rate = runs[name][-1]["rate"]
            print(f"round {number + 1} {name}: {rate:,.1f} images/s", flush=True)
    text = table(runs)
    arguments.output.write_text(text)
    print(text)


def table(runs: dict[str, list[dict[str, float]]]) -> str:
    """docs/benchmarks/scoring.md."""
    rate = {k: statistics.median(run["rate"] for run in turns) for k, turns in runs.items()}
    now = datetime.datetime.now(datetime.UTC).date()
    lines = [
        "# Speed of scoring", "",
        f"`{command_line()}`: same images, same network ({Path(BUNDLE).name}), every contender",
        "a process of its own, taking turns; medians. Rates are steady state: start-up is told",
        "apart.",
        "", f"{now}, {machine()}, load at the end {os.getloadavg()[0]:.1f}.", "",
        "| | contender | images | images/s | all rounds |", "|---|---|---:|---:|---|",
    ]  # fmt: skip
    for name, turns in runs.items():
        every = ", ".join(f"{run['rate']:,.0f}" for run in turns)
        count = int(turns[0]["images"])
        lines.append(f"| {name} | {NAMES[name]} | {count:,} | {rate[name]:,.1f} | {every} |")
    lines += ["", "| target | measured | |", "|---|---:|---|"]
    for text, value, wanted in _targets(rate, runs):
        lines.append(f"| {text} | {value:.2f} | {'met' if value >= wanted else 'missed'} |")
    starts = [r["start_up_s"] for k in runs if k[0] == "d" for r in runs[k] if "start_up_s" in r]
    if starts:
        first = [r["until_first_s"] for k in runs if k[0] == "d" for r in runs[k]]
        for title, seconds in (("all but scoring (imports, Ray, loading, end)", starts),
                              ("start to the first shard's first image", first)):  # fmt: skip
            lines.append(f"| {title}, s | {statistics.median(seconds):.1f} | |")
    lines += _alone(runs)
    return "\n".join(lines) + "\n"


def _alone(runs: dict[str, list[dict[str, float]]]) -> list[str]:
    """What the bounds are made of: decode alone, and the network alone at each batch size."""
    bounds = [name for name in runs if name[0] == "e"]
    if not bounds:
        return []
    cores = os.cpu_count() or 1
    head = [f"batch {size}" for size in BATCHES]
    lines = ["", f"Alone on all {cores} cores, a thread each, images/s:", "",
             "| precision | decode | " + " | ".join(f"network, {h}" for h in head) + " |",
             "|---|---:|" + "---:|" * len(head)]  # fmt: skip
    for name in bounds:
        keys = ["decode_s", *(f"batch_{size}_s" for size in BATCHES)]
        rates = [cores / statistics.median(run[key] for run in runs[name]) for key in keys]
        precision = name.partition("-")[2]
        lines.append(f"| {precision} | " + " | ".join(f"{rate:,.0f}" for rate in rates) + " |")
    return lines


def _targets(
    rate: dict[str, float], runs: dict[str, list[dict[str, float]]]
) -> list[tuple[str, float, float]]:
    best = max((rate[name] for name in rate if name.startswith("d")), default=0.0)
    targets = [
        (f"best of ours / {name}, >= {wanted:g}", best / rate[name], wanted)
        for name, wanted in (("before", 1.6), ("a2", 3.0), ("c", 5.5))
        if name in rate and best
    ]
    for precision in ("bfloat16", "int8"):
        pair = (f"d-{precision}", f"e-{precision}")
        if all(name in rate for name in pair):
            share = rate[pair[0]] / rate[pair[1]]
            targets.append((f"share of the bound, {precision}, >= 0.85", share, 0.85))
    return targets


if __name__ == "__main__":
    main()
