"""What the benchmarks share: their arguments, their inputs, turns, and the page of the result.

Without `--full` a benchmark runs at a small size, in minutes, and writes a part of its own to the
page: the documented figures, of `--full`, stay as they are.
"""

import argparse
import datetime
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from model.runtime import machine

ROOT = Path(__file__).parents[1]
BUNDLE = str(ROOT / "bundles" / "facemill-utkface")
SHARED = ROOT.parent / "shared" / "data"
_PART = re.compile(r"<!-- generated: ([\w -]+) -->\n.*?<!-- end -->\n", re.DOTALL)
Key = TypeVar("Key")
Value = TypeVar("Value")


def arguments(text: str | None, page: str) -> argparse.ArgumentParser:
    """A parser that knows `--full`, `--images` and `--page`.

    Args:
        text: the module's docstring.
        page: below docs/, which takes the result.
    """
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="the size of the documented figures")
    parser.add_argument(
        "--images", type=Path, default=SHARED / "utkface",
        help="a folder of UTKFace; where it is missing, faces are drawn",
    )  # fmt: skip
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / page, help="to write into")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments, after a look whether the page is there: a run may take hours."""
    given = parser.parse_args()
    if not given.page.is_file():
        parser.error(f"--page {given.page}: no such file; create it with a heading")
    return given


def images(folder: Path, source: Path, count: int) -> Path:
    """A folder of `count` images below `folder`: links into `source`, or drawn faces."""
    made = folder / "images"
    made.mkdir()
    files = sorted(source.iterdir()) if source.is_dir() else []
    if not files:
        from demo.drawn_faces import draw_faces

        draw_faces(made, count=count, seed=0)
    for path in files[:: max(1, len(files) // count)][:count]:
        (made / path.name).symlink_to(path.resolve())
    return made


def manifest(folder: Path, source: Path, count: int) -> str:
    """The manifest that `jobs.ingest` makes of `images`."""
    output = str(folder / "manifest")
    run("jobs.ingest", "--images", images(folder, source, count), "--output", output)
    return output


def run(module: str, *words: object, root: Path = ROOT, **options: Any) -> str:
    """Run a module of this environment; returns its standard output.

    Args:
        module: as `python -m` takes it.
        words: its arguments.
        root: the checkout whose module it is.
        options: of subprocess.run.

    Raises:
        SystemExit: it failed; the end of its standard error is shown.
    """
    command = [sys.executable, "-m", module, *map(str, words)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)} in {root} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def apart(module: str, *words: object, **options: Any) -> dict[str, Any]:
    """The last line of `run`, which is JSON: a measurement in a process of its own."""
    return json.loads(run(module, *words, **options).splitlines()[-1])


def turns(contenders: Mapping[Key, Callable[[], Value]], rounds: int) -> dict[Key, list[Value]]:
    """Results of the contenders, which take turns (A B A B): other work hits all alike."""
    results: dict[Key, list[Value]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, measure in contenders.items():
            results[name].append(measure())
            print(f"turn {number + 1} of {rounds}, {name}: {results[name][-1]}", file=sys.stderr)
    return results


def medians(results: Mapping[Key, Iterable[float]]) -> dict[Key, float]:
    """The median of each contender's turns."""
    return {name: statistics.median(values) for name, values in results.items()}


def seconds(act: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds that `act` takes by a clock."""
    began = clock()
    act()
    return clock() - began


def peak_mib() -> float:
    """The largest resident memory of this process so far."""
    # VmHWM: the kernel's other figure, ru_maxrss, counts what the parent had.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def command_line() -> str:
    """The command line of this process."""
    module = getattr(sys.modules["__main__"].__spec__, "name", "").removesuffix(".__main__")
    return shlex.join(["python", "-m", module, *sys.argv[1:]])


def origin() -> str:
    """How, when and where a result was made."""
    today, load = datetime.datetime.now(datetime.UTC).date(), os.getloadavg()[0]
    return f"`{command_line()}`, {today}, {machine()}, load at the end {load:.1f}."


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Markdown; a title that ends in a colon aligns its column to the right."""
    bars = ["---:" if title.endswith(":") else "---" for title in head]
    lines = [[title.removesuffix(":") for title in head], *([str(c) for c in row] for row in rows)]
    first, *others = [f"| {' | '.join(line)} |" for line in lines]
    return [first, f"|{'|'.join(bars)}|", *others]


def with_part(text: str, part: str, lines: Sequence[str]) -> str:
    """A page with one generated part replaced, or added at the end."""
    body = "\n".join([f"<!-- generated: {part} -->", *lines, "<!-- end -->", ""])
    if part in _PART.findall(text):
        return _PART.sub(lambda found: body if found[1] == part else found[0], text)
    return f"{text.rstrip()}\n\n{body}"


def write(given: argparse.Namespace, lines: Sequence[str], part: str = "result") -> None:
    """Put a result into the page of `parsed`, and print it."""
    head = [] if given.full else [f"## {part.capitalize()}, small size", ""]
    name = part if given.full else f"{part} small"
    given.page.write_text(with_part(given.page.read_text(), name, [*head, origin(), "", *lines]))
    print("\n".join(lines), flush=True)
