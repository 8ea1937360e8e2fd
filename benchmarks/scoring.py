"""Speed of scoring against other ways to do it: `python -m benchmarks.scoring`.

Same images, same network (the shipped bundle), same machine; every contender is a process of its
own, they take turns (A B A B) and the medians count. Writes docs/benchmarks/scoring.md.

    a1  the notebook's way: load_img, resize, network.predict, image by image
    a2  the same, batched
    b   tf.data + network.predict
    c   Ray Data as its documentation shows it: read_images -> map_batches x2 -> write_parquet
    before  facemill of another checkout, in int8: `--before FOLDER`
    d   facemill at each precision, and in int8 with one worker
    e   the bound: decode and network alone, all cores busy: 1 / (t_decode + t_network)
"""

import functools
import json
import os
import statistics
import tempfile
from pathlib import Path

from benchmarks import contenders, harness
from benchmarks.contenders import BATCHES

SMALL, FULL = 400, 20_000  # images
# Slow contenders get a share of the images: their rate is the same from the first second.
SHARE = {"a1": 0.05, "a2": 0.25, "b": 0.5, "c": 0.5, "e-bfloat16": 0.1, "e-int8": 0.1}
NAMES = {
    "a1": "notebook: load_img, resize, predict, one by one",
    "a2": "notebook, batched predict",
    "b": "tf.data + predict",
    "c": "Ray Data as documented",
    "before": "facemill of the other checkout, int8",
    "d-bfloat16": "**facemill, bfloat16**",
    "d-int8": "**facemill, int8**",
    "d-int8-1": "facemill, int8, one worker",
    "e-bfloat16": "bound, bfloat16",
    "e-int8": "bound, int8",
}
# One of them, another, and what their ratio should be at least.
TARGETS = (
    ("d-int8", "before", 1.0),
    ("d-int8", "a2", 3.0),
    ("d-int8", "c", 5.5),
    ("d-bfloat16", "e-bfloat16", 0.85),
    ("d-int8", "e-int8", 0.85),
    ("d-int8", "d-int8-1", None),
)
Measured = dict[str, float]


def measure(name: str, images: Path, before: str) -> Measured:
    """One contender in a process of its own."""
    words = ["--images", images, "--contender", name, "--before", before]
    return harness.apart("benchmarks.scoring", *words)


def run_contender(name: str, images: Path, before: str) -> None:
    """One contender in this process; prints images/s and what else it measured."""
    paths = sorted(str(path.resolve()) for path in images.iterdir())
    paths = paths[: max(max(BATCHES), int(len(paths) * SHARE.get(name, 1.0)))]
    with tempfile.TemporaryDirectory(prefix="facemill-bench-") as folder:
        seconds, more = contenders.run(name, paths, Path(folder), before)
    print(json.dumps({"images": len(paths), "rate": len(paths) / seconds, **more}), flush=True)


def result(runs: dict[str, list[Measured]]) -> list[str]:
    """The tables."""
    rate = harness.medians({name: [one["rate"] for one in runs[name]] for name in runs})
    head = ["", "contender", "images:", "images/s:", "all turns"]
    rows = [
        (name, NAMES[name], f"{taken[0]['images']:,}", f"{rate[name]:,.1f}",
         ", ".join(f"{one['rate']:,.0f}" for one in taken))
        for name, taken in runs.items()
    ]  # fmt: skip
    starts = [one for name in runs if name[0] == "d" for one in runs[name]]
    targets = [
        (f"{one} / {other}" + (f", >= {wanted:g}" if wanted else ""),
         f"{rate[one] / rate[other]:.2f}",
         "" if wanted is None else "met" if rate[one] / rate[other] >= wanted else "missed")
        for one, other, wanted in TARGETS
        if one in rate and other in rate
    ] + [
        (title, f"{statistics.median(one[key] for one in starts):.1f}", "")
        for title, key in (
            ("all but scoring (imports, Ray, loading, end), s", "start_up_s"),
            ("start to the first shard's first image, s", "until_first_s"),
        )
        if starts
    ]  # fmt: skip
    return [
        f"Same images, same network ({Path(harness.BUNDLE).name}), every contender a process of "
        "its own, taking turns; medians. Rates leave start-up out.", "",
        *harness.table(head, rows), "",
        *harness.table(["target", "measured:", ""], targets), *bounds(runs),
    ]  # fmt: skip


def bounds(runs: dict[str, list[Measured]]) -> list[str]:
    """What the bounds are made of: decoding alone, and the network alone at each batch size."""
    cores = os.cpu_count() or 1
    keys = ["decode_s", *(f"batch_{size}_s" for size in BATCHES)]
    rows = [
        (name.partition("-")[2],
         *(f"{cores / statistics.median(one[key] for one in runs[name]):,.0f}" for key in keys))
        for name in runs
        if name[0] == "e"
    ]  # fmt: skip
    head = ["precision", "decode:", *(f"network, batch {size}:" for size in BATCHES)]
    alone = f"Alone on all {cores} cores, a thread each, images/s:"
    return ["", alone, "", *harness.table(head, rows)] if rows else []


def main() -> None:
    """Take turns, then write the tables."""
    parser = harness.arguments(__doc__, "benchmarks/scoring.md")
    parser.add_argument("--only", nargs="*", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--before", default="", help="another checkout; none: left out")
    parser.add_argument("--contender", choices=list(NAMES), help="run this one here, once")
    given = harness.parsed(parser)
    if given.contender:
        return run_contender(given.contender, given.images, given.before)
    names = [name for name in given.only if name != "before" or given.before]
    with tempfile.TemporaryDirectory(prefix="facemill-bench-") as folder:
        images = harness.images(Path(folder), given.images, FULL if given.full else SMALL)
        runs = harness.turns(
            {name: functools.partial(measure, name, images, given.before) for name in names},
            3 if given.full else 1,
        )
    harness.write(given, result(runs))


if __name__ == "__main__":
    main()
