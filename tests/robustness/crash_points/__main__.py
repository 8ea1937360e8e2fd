"""`python -m tests.robustness.crash_points`: prints a line of JSON a job, with what went wrong.

--write puts a table of all cases into docs/robustness/crash-points.md; then --every 5 takes each
fifth case of the store alone, whose clients wait before they try again. Else --every counts for
both, --store local|s3, --only PART,PART of jobs' names, --pairs 20 adds so many pairs of deaths a
job, drawn at random. --shard-rows 9 makes three shards of 21 files in place of five: two thirds of
the writes. --share 0 2 and --share 1 2 are halves, for two processes.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import harness
from tests.robustness.crash_points import cases, in_process, reader
from tests.robustness.crash_points.memory_store import MemoryStore, serve_memory
from tests.robustness.crash_points.trial import (
    DEATHS,
    Point,
    ProgressCounter,
    Trial,
    child,
    points_of,
)

_MAX_SHOWN = 5
_PAGE = harness.ROOT / "docs" / "robustness" / "crash-points.md"
SHARE = [0, 1]  # which of so many shares of the cases


def tallies(
    stores: tuple[str, ...], every: int, pairs: int, only: str, max_s: float
) -> Iterator[ProgressCounter]:
    """Run the cases, job by job."""
    in_process.prepare_process()
    with contextlib.ExitStack() as stack:
        memory = stack.enter_context(serve_memory()) if "s3" in stores else None
        for store in stores:
            for case in cases.CASES:
                if not any(part in case.name for part in only.split(",")):
                    continue
                place = Path(tempfile.mkdtemp(prefix="facemill-crash-", dir=_fast_folder()))
                try:
                    yield _tally(
                        case, place, memory if store == "s3" else None, every, pairs, max_s
                    )
                finally:
                    shutil.rmtree(place, ignore_errors=True)


def _fast_folder() -> str | None:
    """Memory, where there is some: each write is synced, which costs nothing there."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _tally(
    case: cases.Case, place: Path, store: MemoryStore | None, every: int, pairs: int, max_s: float
) -> ProgressCounter:
    began = time.monotonic()
    if store:
        os.environ.update(store.env())
    made = child(lambda: cases.prepare_inputs(place))
    assert made.code == 0, made.said
    trial = Trial(case, place, store)
    every_point = list(points_of(trial))
    part, parts = SHARE
    tally = ProgressCounter(case.name, "s3" if store else "local", trial.writes, len(every_point))
    chosen = [(point,) for point in every_point[part * every :: parts * every]]
    drawn = random.Random(f"{case.name}{part or ''}")
    kinds = ("kill_before", "kill_after") if store else DEATHS
    chosen += [
        (
            Point(drawn.choice(kinds), drawn.randint(1, trial.writes)),
            Point(drawn.choice(kinds), drawn.randint(1, trial.writes)),
        )
        for _ in range(part, pairs, parts)
    ]
    for points in chosen:
        if time.monotonic() - began > max_s:
            break
        tally.cases += 1
        if problem := trial.problem(points):
            words = ", then ".join(point.words for point in points)
            tally.problems.append(f"{words}: {problem}")
    tally.seconds = round(time.monotonic() - began, 1)
    return tally


def seen_by_readers(every: int, only: str) -> Iterator[str]:
    """What a reader saw that it must not see."""
    in_process.prepare_process()
    part, parts = SHARE
    for case in list(reader.cases_with_predictions())[part::parts]:
        if only not in case.name:
            continue
        with tempfile.TemporaryDirectory(prefix="facemill-crash-", dir=_fast_folder()) as name:
            made = child(lambda place=Path(name): cases.prepare_inputs(place))
            assert made.code == 0, made.said
            yield from reader.looked_at(Trial(case, Path(name)), every)


def result(lines: list[dict[str, Any]]) -> list[str]:
    """The table of the page."""
    keys = ("job", "where", "writes", "possible", "cases", "wrong", "seconds")
    sums = {name: sum(line[name] for line in lines) for name in ("cases", "wrong")}
    rows = [[line[name] for name in keys] for line in lines]
    rows.append(["all", "", "", "", sums["cases"], sums["wrong"], ""])
    head = ("job", "store", "writes:", "points:", "tried:", "differences:", "s:")
    return [harness.origin(), "", *harness.table(head, rows)]


def main() -> None:
    """Run what the command line asks for; exit code 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--store", choices=("local", "s3", "both"), default="both")
    parser.add_argument("--only", default="")
    parser.add_argument("--shard-rows", type=int, default=cases.SHARD_ROWS[0])
    parser.add_argument("--share", nargs=2, type=int, default=SHARE, metavar=("0", "2"))
    parser.add_argument("--max-s", type=float, default=1e9)
    parser.add_argument("--write", action="store_true", help="all of it, into the page")
    parser.add_argument("--readers", action="store_true", help="look at every instant instead")
    options = parser.parse_args()
    cases.SHARD_ROWS[:] = [options.shard_rows]
    SHARE[:] = options.share
    stores = ("local", "s3") if options.store == "both" else (options.store,)
    if options.readers:
        missed = list(seen_by_readers(options.every, options.only))
        print("\n".join(missed[:_MAX_SHOWN]))
        raise SystemExit(int(bool(missed)))
    lines = list[dict[str, Any]]()
    for store in stores:
        every = 1 if options.write and store == "local" else options.every
        for tally in tallies((store,), every, options.pairs, options.only, options.max_s):
            problems = {"wrong": len(tally.problems), "problems": tally.problems[:_MAX_SHOWN]}
            lines.append(tally.to_json() | problems)
            print(json.dumps(lines[-1]), flush=True)
    if options.write:
        _PAGE.write_text(harness.with_part(_PAGE.read_text(), "result", result(lines)))
    raise SystemExit(int(any(line["wrong"] for line in lines)))


if __name__ == "__main__":
    main()
