"""Stop every job at every write, in every way: `python -m benchmarks.crash_points`.

Runs tests/crash_points on a local folder and over an S3 store in memory, and writes
docs/benchmarks/crash-points.md. `--every 5` takes each fifth case of the store, whose clients
wait before they try again.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "benchmarks" / "crash-points.md"
HEAD = """# Every crash point

`python -m benchmarks.crash_points`. Each job that leaves state runs once undisturbed, and its
writes are counted: puts, conditional puts, files put in place, deletions. Then, for each write,
it is stopped there, the same command is given again, and all that is left is compared with the
undisturbed result: byte for byte, but for times and speeds in .json files. `jobs.verify`, or
opening the bundle, must say that it is whole. What a death may leave beside that are hidden files
(`.….tmp`), which no reader takes for data.

On a local folder: SIGKILL before the write, after it, and amid it (half of the bytes in the
temporary file; half of a folder that is removed); a disk that is full from there on, or full once
amid the write; EIO once; EACCES from there on. Over S3: SIGKILL before and after the request; 500
from there on; 503 once; the answer lost once, though the write is done; all answers lost from
there on. An error must end in a sentence and an exit code, never in a traceback. Pairs are two
deaths, at writes drawn at random.

All in forked processes, without Ray and with a rule in the place of the network: the store is
what is tested. The whole tree of processes is killed at random instants in [chaos.md](chaos.md).
Of a training only the driver is here; Ray Train's own checkpoints are in
tests/pipelines/training/test_resume.py. The S3 store is one in memory
(tests/crash_points/memory_store.py).

"""


def told(arguments: list[str]) -> list[dict[str, Any]]:
    """Each job's line of tests/crash_points, as it comes."""
    command = [sys.executable, "-m", "tests.crash_points", *arguments]
    lines = list[dict[str, Any]]()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(json.loads(line))
            print(line.rstrip()[:500], flush=True)
    return lines


def table(lines: list[dict[str, Any]]) -> str:
    """Job by job."""
    rows = [
        "| job | store | writes | points | tried | differences | s |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    rows += [
        f"| {line['job']} | {line['where']} | {line['writes']} | {line['possible']} "
        f"| {line['cases']} | {line['wrong']} | {line['seconds']:.0f} |"
        for line in lines
    ]
    cases, wrong = (sum(line[name] for line in lines) for name in ("cases", "wrong"))
    return "\n".join([*rows, f"| all | | | | {cases:,} | {wrong} | |"])


def main() -> None:
    """Run and write the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=10)
    options = parser.parse_args()
    pairs = ["--pairs", str(options.pairs)]
    lines = told(["--store", "local", *pairs])
    lines += told(["--store", "s3", "--every", str(options.every), *pairs])
    share = "all" if options.every == 1 else f"each {options.every}th"
    machine = f"{os.cpu_count()} cores, {platform.machine()}"
    note = (
        f"{time.strftime('%Y-%m-%d')}, {machine}. Local: all cases; S3: {share}; {options.pairs} "
    )
    DOCUMENT.write_text(f"{HEAD}{note}pairs a job.\n\n{table(lines)}\n")


if __name__ == "__main__":
    main()
