"""One case in forked children: die or fail at the k-th write, run the command again, compare."""

import contextlib
import dataclasses
import errno
import gc
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines.storage import writes
from tests.robustness.crash_points import cases
from tests.robustness.crash_points.cases import Case
from tests.robustness.crash_points.memory_store import MemoryStore

DEATHS = ("before", "half", "after")
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EACCES": errno.EACCES}
S3_KINDS = ("kill_before", "kill_after", "500", "503_once", "lost_once", "lost")
_HALVES = ("put", "place", "delete_tree")  # what a local folder can be left with half of
_PROVEN = 5  # one case in so many
_LONGEST_S = 60.0
_KEPT_LOG = 9000


@dataclasses.dataclass(frozen=True)
class Point:
    """Where and how a run is stopped: at its `at`-th write, counted from 1."""

    kind: str
    at: int

    @property
    def words(self) -> str:
        return f"{self.kind} at write {self.at}"


class Stopper:
    """Watches writes; at the k-th it kills this process or raises an error."""

    def __init__(self, point: Point) -> None:
        self.point, self.seen = point, 0

    def __call__(self, moment: writes.Moment, operation: str, uri: str) -> None:
        if moment == "before":
            self.seen += 1
        kind, _, when = self.point.kind.partition("/")
        if kind in DEATHS:
            if self.seen != self.point.at:
                return
            if kind == "half" and operation == "delete_tree" and moment == "before":
                _remove_half(uri)
                _die()
            if moment == kind:
                _die()
            return
        is_due = self.seen >= self.point.at if when == "on" else self.seen == self.point.at
        if is_due and moment == ("half" if when == "half" else "before"):
            number = ERRORS[kind]
            error = OSError(number, os.strerror(number), uri)
            raise error


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _remove_half(uri: str) -> None:
    """A folder that is being removed, half way through."""
    files = sorted(path for path in Path(uri).rglob("*") if path.is_file())
    for path in files[: len(files) // 2]:
        path.unlink()


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code, negative where a signal ended it, and what it said."""

    code: int
    said: str


def child(act: Callable[[], None]) -> Ended:
    """Run `act` in a forked child; exit code 70 is an error that is not facemill's own."""
    log = tempfile.TemporaryFile()  # noqa: SIM115 - both processes write into it
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            act()
            code = 0
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
    ended = _wait(pid)
    log.seek(0)
    return Ended(ended, log.read().decode(errors="replace")[-_KEPT_LOG:])


def _wait(pid: int) -> int:
    deadline = time.monotonic() + _LONGEST_S
    pause = 0.0005
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause)
        pause = min(2 * pause, 0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return 99  # it hung


class Trial:
    """A case over a local folder or the store in memory."""

    def __init__(self, case: Case, place: Path, store: MemoryStore | None = None) -> None:
        """Make what is there before, and the undisturbed result."""
        self.case, self.place, self.store = case, place, store
        self.output = "s3://bucket/out" if store else str(place / "out")
        self.operations = list[str]()
        self._template = place / "before"
        if store:
            store.ask("restore", name="nothing")
        with cases.only_parsing(), contextlib.suppress(SystemExit, OSError):
            case.act(place, self.output)
        self._must(lambda: case.before(place, self.output))
        if store:
            store.ask("keep", name="before")
        elif Path(self.output).exists():
            shutil.copytree(self.output, self._template)
        self.restore()
        self.writes = self._count()
        self.wanted = self.found()
        if stray := [name for name in self.wanted if cases.is_leftover(name)]:
            raise AssertionError(f"{case.name}: an undisturbed run leaves {stray}")

    def _must(self, act: Callable[[], None]) -> None:
        ended = child(act)
        assert ended.code == 0, f"{self.case.name}: code {ended.code}: {ended.said}"

    def restore(self) -> None:
        """Make everything as it was before."""
        if self.store:
            self.store.ask("plan")
            self.store.ask("restore", name="before")
            return
        shutil.rmtree(self.output, ignore_errors=True)
        if self._template.exists():
            shutil.copytree(self._template, self.output)

    def _count(self) -> int:
        """Run undisturbed; returns how many writes that takes."""
        seen = self.place / "writes.json"

        def act() -> None:
            operations = list[str]()

            def watch(moment: str, operation: str, uri: str) -> None:
                if moment == "before":
                    operations.append(operation)

            with writes.watched(watch):
                self.act_and_prove()
            seen.write_text(json.dumps([operations, sorted(set(sys.modules) - imported)]))

        imported = set(sys.modules)
        self._must(act)
        self.operations, names = json.loads(seen.read_text())
        for name in names:  # here, once, and not in every child
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        gc.freeze()
        return self.store.ask("writes") if self.store else len(self.operations)

    def act_and_prove(self) -> None:
        """The command, then the proof that its output is whole."""
        self.case.act(self.place, self.output)
        self.case.proof(self.output)

    def _act(self) -> None:
        self.case.act(self.place, self.output)

    def found(self) -> dict[str, bytes]:
        """Every file of the output, less times."""
        if self.store:
            stored: dict[str, str] = self.store.ask("all")
            return {
                name: cases.comparable(name, data.encode("latin-1"))
                for name, data in stored.items()
            }
        root = Path(self.output)
        return {
            str(path.relative_to(root)): cases.comparable(path.name, path.read_bytes())
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }

    def problem(self, points: Sequence[Point]) -> str | None:
        """Stop at the first point, run again and stop at the next, …, run again; what is wrong."""
        self.restore()
        for point in points:
            ended = self.stopped(point)
            if wrong := _misbehaved(point, ended):
                return wrong
        # Files equal to those of a proven output prove themselves: the proof is for a sample.
        proves = sum(point.at for point in points) % _PROVEN == 0
        ended = child(self.act_and_prove if proves else self._act)
        if ended.code == 2 and self.case.says_done and self.case.says_done in ended.said:
            ended = child(lambda: self.case.proof(self.output))
        if ended.code:
            return f"the same command again ends with {ended.code}: {ended.said}"
        return self._difference()

    def stopped(self, point: Point) -> Ended:
        """Run the command and stop it at a point."""
        store = self.store
        if store is None:

            def act() -> None:
                with writes.watched(Stopper(point)):
                    self.case.act(self.place, self.output)

            return child(act)

        def act_on_store() -> None:
            if point.kind in ("500", "lost"):
                os.environ["FACEMILL_RETRY_S"] = "0"
            store.ask("plan", at=point.at, fault=point.kind, pid=os.getpid())
            self.case.act(self.place, self.output)

        ended = child(act_on_store)
        store.ask("plan")
        return ended

    def _difference(self) -> str | None:
        found = {n: d for n, d in self.found().items() if not cases.is_leftover(n)}
        missing, more = sorted(self.wanted.keys() - found), sorted(found.keys() - self.wanted)
        other = [n for n in self.wanted if n in found and found[n] != self.wanted[n]]
        if missing or more or other:
            return f"missing {missing}, too many {more}, not equal {other}"
        return None


def _misbehaved(point: Point, ended: Ended) -> str | None:
    if ended.code == 99:
        return f"it hung: {ended.said}"
    if ended.code == 70 or "Traceback (most recent" in ended.said:
        return f"an error that is not told in a sentence: {ended.said}"
    return None


def points_of(trial: Trial) -> Iterator[Point]:
    """Every write, every kind."""
    if trial.store:
        kinds: Sequence[str] = S3_KINDS
    else:
        kinds = (*DEATHS, "ENOSPC/on", "ENOSPC/half", "EIO/once", "EACCES/on")
    for at in range(1, trial.writes + 1):
        for kind in kinds:
            if "half" not in kind or trial.operations[at - 1] in _HALVES:
                yield Point(kind, at)


@dataclasses.dataclass
class ProgressCounter:
    """What came of a job's cases, of so many that are possible; pairs come on top."""

    job: str
    where: str
    writes: int
    possible: int
    cases: int = 0
    seconds: float = 0.0
    problems: list[str] = dataclasses.field(default_factory=list[str])

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
