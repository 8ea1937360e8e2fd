"""Hostile bytes by the hundred thousand: `python -m tests.robustness.fuzz --cases 200000`.

Fuzzes every target of fuzz_targets.py, changes every byte of a bundle, one at a time, and writes
docs/robustness/fuzz.md. `--max-s 3600` ends it after an hour, and the table says how far it came.
`--json` prints a line a target and writes nothing; `--repeat TARGET SEED` runs one case here, with
its traceback.
"""

import argparse
import collections
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import harness
from model.bundle import Bundle, read_bundle, with_details
from tests.robustness.bundle_fuzz import changed_bytes
from tests.robustness.fuzz_targets import GOLDEN, TARGETS
from tests.robustness.fuzzing import all_cases, attempt, mutated

PAGE = harness.ROOT / "docs" / "robustness" / "fuzz.md"


def small_bundle(folder: Path) -> Bundle:
    """A bundle with a checksum."""
    return with_details(read_bundle(GOLDEN / "train" / "bundle"), folder, {})


def repeat(name: str, seed: int) -> None:
    """Run one case in this process.

    Raises:
        Exception: it is a finding.
    """
    (target,) = (target for target in TARGETS if target.name == name)
    with tempfile.TemporaryDirectory() as folder:
        target.prepare(Path(folder))
        attempt(target, mutated(target.seeds(Path(folder)), seed), Path(folder))
    print("ended well, or in an error of our own")


def result(lines: list[dict[str, Any]]) -> list[str]:
    """The table of the page; tries the bytes of a bundle too."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = small_bundle(Path(folder) / "bundle")
        tried, accepted = changed_bytes(bundle.folder, every=1, most=20_000)
    rows = [
        (line["target"], f"{line['cases']:,}", f"{line['seconds']:.0f}",
         f"{line['cases'] / max(line['seconds'], 0.1):,.0f}", len(line["found"]))
        for line in lines
    ]  # fmt: skip
    cases, seconds = (sum(line[name] for line in lines) for name in ("cases", "seconds"))
    rows.append(("all", f"{cases:,}", f"{seconds:,.0f}", "", ""))
    return [
        harness.origin(), "",
        *harness.table(("target", "cases:", "s:", "cases/s:", "found:"), rows), "",
        f"Bytes of a bundle changed one at a time: {tried:,}, of which {len(accepted)} were not "
        "refused.",
    ]  # fmt: skip


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=200_000)
    parser.add_argument("--first", type=int, default=0, help="seed")
    parser.add_argument("--max-s", type=float, default=1e9)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeat", nargs=2, metavar=("TARGET", "SEED"))
    options = parser.parse_args()
    if options.repeat:
        return repeat(options.repeat[0], int(options.repeat[1]))
    lines = list[dict[str, Any]]()
    for line in all_cases(options.cases, options.first, options.max_s):
        lines.append(line)
        kinds = collections.Counter(f["what"].strip().splitlines()[-1][:200] for f in line["found"])
        shown = [line["target"], line["cases"], line["seconds"], len(line["found"]), *kinds]
        print(*([json.dumps(line)] if options.json else shown), flush=True)
    if not options.json:
        PAGE.write_text(harness.with_part(PAGE.read_text(), "result", result(lines)))


if __name__ == "__main__":
    main()
