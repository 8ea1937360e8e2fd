"""Peak memory of a scoring run by number of inputs: `python -m benchmarks.memory --images FOLDER`.

Hard-links the folder's images into a listing of 20,000, 200,000 and 1,000,000 inputs and scores
them for real with an untrained network of the demo's size, so that decoding is the work and a
million inputs take minutes. Every second the resident memory (without what is shared) of the
driver, of the scoring workers and of Ray's own processes is read. Prints the table of
docs/scale.md.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from benchmarks._contenders import ROOT
from jobs.cli import quiet_libraries

COUNTS = (20_000, 200_000, 1_000_000)
PER_FOLDER = 20_000


def link(images: Path, folder: Path, count: int) -> None:
    """`count` names for the files of `images`, 20,000 a folder."""
    sources = sorted(path for path in images.iterdir() if path.is_file())
    for number in range(count):
        place = folder / f"{number // PER_FOLDER:04d}"
        if number % PER_FOLDER == 0:
            place.mkdir(parents=True)
        source = sources[number % len(sources)]
        os.link(source, place / f"{number % PER_FOLDER:06d}.jpg")


def untrained(folder: Path) -> None:
    """Write a bundle of the demo's network with random weights."""
    from model.bundle import write_bundle
    from model.networks import build_network
    from model.presets import preset

    recipe = preset("demo")
    network = build_network(recipe.network, recipe.input.shape, recipe.heads)
    write_bundle(folder, network, name="untrained", input_spec=recipe.input,
                 heads=recipe.heads, details={})  # fmt: skip


def watch(root: psutil.Process, peaks: dict[str, float], stop: threading.Event) -> None:
    """Keep the largest resident memory of each kind of process, MiB, and the most workers."""
    while not stop.wait(1.0):
        sums: dict[str, list[float]] = {"driver": [], "worker": [], "ray": []}
        for process in [root, *root.children(recursive=True)]:
            try:
                name = " ".join(process.cmdline())[:200]
                size = (process.memory_info().rss - process.memory_info().shared) / 2**20
            except psutil.Error:
                continue
            kind = "driver" if process.pid == root.pid else "ray"
            sums["worker" if "MapWorker" in name or "ShardScorer" in name else kind].append(size)
        for kind, sizes in sums.items():
            figure = max(sizes, default=0.0) if kind == "worker" else sum(sizes)
            peaks[kind] = max(peaks.get(kind, 0.0), figure)


def measured(images: Path, count: int, folder: Path, bundle: Path) -> str:
    """A row of the table."""
    link(images, folder / "images", count)
    command = [sys.executable, "-m", "jobs.score", "--images", str(folder / "images"),
               "--bundle", str(bundle), "--output", str(folder / "out")]  # fmt: skip
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    peaks, stop = dict[str, float](), threading.Event()
    watcher = threading.Thread(target=watch, args=(psutil.Process(child.pid), peaks, stop))
    watcher.start()
    child.wait()
    stop.set()
    watcher.join()
    if child.returncode:
        raise SystemExit(f"scoring {count:,} inputs ended with code {child.returncode}")
    record = json.loads((folder / "out" / "run.json").read_text())
    return (
        f"| {record['inputs']:,} | {record['scored']:,} | {record['seconds']:,.0f} | "
        f"{peaks['driver']:,.0f} | {peaks['worker']:,.0f} | {peaks['ray']:,.0f} |"
    )


def main() -> None:
    """Measure every count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=Path, default=ROOT.parent / "shared" / "data" / "utkface")
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS))
    parser.add_argument("--scratch", type=Path, help="on the disk of --images: links need that")
    arguments = parser.parse_args()
    quiet_libraries()
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores\n")
    print("| inputs | scored | seconds | driver, MiB | largest worker, MiB | Ray's own, MiB |")
    print("|---:|---:|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as bundle:
        untrained(Path(bundle))
        for count in arguments.counts:
            with tempfile.TemporaryDirectory(prefix="facemill-", dir=arguments.scratch) as folder:
                print(measured(arguments.images, count, Path(folder), Path(bundle)), flush=True)


if __name__ == "__main__":
    main()
