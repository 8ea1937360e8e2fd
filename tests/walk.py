"""How far a job's options travel: `python -m tests.walk score|train [CHECKOUT]`.

Runs the job on a few drawn faces in this process and looks at every call of our functions that is
handed the options, a group of them, or an object that holds them. Counts the modules that they
enter, how often they come back to a module that they had left, and the names of the parameters and
fields that they have on the way; likewise for all our functions, each where it is first called.
The driver alone is looked at; workers are handed one object.
"""

import dataclasses
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Walk in a checkout, in a process of its own, and print the counts."""
    job, checkout = sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else ROOT).resolve()
    if os.environ.get("FACEMILL_WALK") != str(checkout):
        environment = {**os.environ, "FACEMILL_WALK": str(checkout), "PYTHONPATH": str(checkout)}
        command = [sys.executable, "-P", str(Path(__file__).resolve()), job, str(checkout)]
        raise SystemExit(subprocess.run(command, cwd=checkout, env=environment).returncode)
    with tempfile.TemporaryDirectory(prefix="facemill-walk-") as folder:
        walked = Walk(checkout)
        _run(job, Path(folder), walked)
    print(json.dumps(walked.counts()))


class Walk:
    """What the options meet."""

    def __init__(self, checkout: Path) -> None:
        """Look at functions below the checkout."""
        self.checkout = checkout
        self.modules: list[str] = []
        self.functions: list[str] = []  # the module of each, where it is called first
        self._met: set[Any] = set()
        self.names: set[str] = set()
        self._carriers: dict[type, bool] = {}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """A profiler's look at a call."""
        if event != "call":
            return
        code = frame.f_code
        file = code.co_filename
        if not file.startswith(f"{self.checkout}/") or ".venv" in file or code.co_name[0] == "<":
            return
        if code not in self._met and not code.co_name.startswith("__"):
            self._met.add(code)
            self.functions.append(str(Path(file).relative_to(self.checkout)))
        parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        carried = [n for n in parameters if self._carries(frame.f_locals.get(n)) and n != "self"]
        if carried and not code.co_name.startswith("__"):
            module = str(Path(file).relative_to(self.checkout))
            if not self.modules or self.modules[-1] != module:
                self.modules.append(module)
            self.names |= {*carried}

    def _carries(self, value: Any) -> bool:
        """Whether a value is the options, a group of them, or holds them."""
        kind = type(value)
        if not dataclasses.is_dataclass(kind):
            return False
        if kind not in self._carriers:
            self._carriers[kind] = False
            here = kind.__module__.endswith(("scoring.options", "training.options"))
            held = [
                f.name
                for f in dataclasses.fields(kind)
                if self._carries(getattr(value, f.name, None))
            ]
            self._carriers[kind] = here or bool(held)
            if not here:
                self.names |= {*held}
        return self._carriers[kind]

    def counts(self) -> dict[str, Any]:
        """Modules, returns and names: of the options, and of all that the driver calls."""
        return {
            "options": {**_returns(self.modules), "names": len(self.names)},
            "all": {**_returns(self.functions), "functions": len(self.functions)},
        }


def _returns(modules: list[str]) -> dict[str, int]:
    """How many modules there are, and how often one is entered that was left before."""
    seen, last, returns = set[str](), "", 0
    for module in modules:
        returns += module != last and module in seen
        seen.add(module)
        last = module
    return {"modules": len(seen), "returns": returns}


def _run(job: str, folder: Path, walked: Walk) -> None:
    try:
        drawn: Any = importlib.import_module("demo.drawn_faces")
    except ImportError:
        drawn = importlib.import_module("demo.drawn_faces")
    drawn.draw_faces(folder / "faces", 120)
    jobs = {
        name: importlib.import_module(f"jobs.{name}").main for name in ("ingest", "score", "train")
    }
    bundle = str(walked.checkout / "bundles" / "seed-final")
    manifest, output = str(folder / "manifest"), str(folder / "out")
    if job == "train":
        jobs["ingest"](["--images", str(folder / "faces"), "--output", manifest])
    words = {
        "score": ["--images", str(folder / "faces"), "--bundle", bundle, "--output", output],
        "train": ["--manifest", manifest, "--preset", "demo", "--epochs", "1", "--output", output],
    }[job]
    sys.setprofile(walked)
    try:
        jobs[job](words)
    finally:
        sys.setprofile(None)


if __name__ == "__main__":
    main()
