"""The whole path, offline: `make demo`, or `python -m jobs.demo --output runs/demo`.

Draws labelled faces (some files broken on purpose), runs the jobs on them as a person would type
them, and detects the face in a photo. Writes all of it below --output, which is made anew.
"""

import dataclasses
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from jobs import cli
from model.errors import FacemillError, UsageError
from pipelines.configuration import ADVANCED, Renamed


@dataclasses.dataclass(frozen=True)
class DemoOptions:
    """How large a demo, and where."""

    output: Annotated[str, "FOLDER"] = "runs/demo"
    """Folder that is emptied and filled."""
    RENAMED: ClassVar = (Renamed(("faces",), "count"), Renamed(("num_workers",), "workers"))

    count: int = 600
    """Faces to draw."""
    broken: Annotated[int, "N", ADVANCED] = 6
    """Files broken on purpose."""
    epochs: int | None = None
    """Passes over the train split; default: the preset's."""
    workers: int = 2
    """Data-parallel workers, one core each."""


def job(options: DemoOptions) -> None:
    """Draw faces, run the jobs as a person would type them, and print where the results are."""
    from demo import drawn_faces, public_portrait

    root, started = Path(options.output).absolute(), time.monotonic()
    if options.count < 100:
        raise UsageError(f"--count {options.count} is too few to learn from: at least 100")
    if root.exists() and any(root.iterdir()) and not (root / "faces").is_dir():
        raise UsageError(f"--output {root} is not empty and no earlier demo: choose another")
    shutil.rmtree(root, ignore_errors=True)
    print(f"drawing {options.count} faces and {options.broken} broken files", flush=True)
    drawn_faces.draw_faces(root / "faces", options.count, broken=options.broken)
    epochs = f" --epochs {options.epochs}" if options.epochs else ""
    train = f"train --manifest manifest --output train --preset demo --cpus-per-worker 1{epochs}"
    for words in (
        "ingest --images faces --output manifest",
        f"{train} --workers {options.workers}",
        "evaluate --manifest manifest --bundle train/bundle --output evaluate",
        "score --images faces --faces crop --bundle train/bundle --output score",
        "report --predictions score --labels manifest --output report.html",
        *["score --images portrait.png --draw portrait-found.jpg"] * public_portrait.copied(root),
    ):
        print(f"\n$ python -m jobs.{words}", flush=True)
        run(words.split(), root)
    left = [(n, str(root / n)) for n in ("report.html", "train/curves.png", "score")]
    left.append(("next", "the same on real faces: see docs/walkthrough.md"))
    cli.print_table(f"demo finished in {time.monotonic() - started:,.0f} s", left)


def run(words: list[str], folder: Path) -> None:
    """Run a job in a folder, its words and errors on this terminal."""
    command = [sys.executable, "-m", f"jobs.{words[0]}", *words[1:]]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    if subprocess.run(command, cwd=folder, env=environment, check=False).returncode != 0:
        raise FacemillError(f"jobs.{words[0]} ended with an error, see above")


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(DemoOptions, job, argv)


if __name__ == "__main__":
    main()
