"""Hostile bytes by the hundred thousand: `python -m benchmarks.fuzz --cases 200000`.

Runs tests/fuzzing.py over all of its targets, changes every byte of a bundle, one at a time, and
writes docs/benchmarks/fuzz.md. `--most-s 3600` ends it after an hour, and the table says how far it
came.
"""

import argparse
import collections
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bundle_fuzz import changed_bytes
from tests.fuzzing import all_cases
from tests.test_fuzzing import small_bundle

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks" / "fuzz.md"
# What it has found so far, all of ours mended; tests/test_hostile_bytes.py has each by its bytes.
FOUND = {
    "image": "pi_heif 1.4.0 crashes on one damaged HEIC of 200,000 pictures, where it reads "
    "metadata: not ours to mend; in a run it is a row, `decode: crashed`",
    "zip": "a directory that names a place outside of the file was taken for an outage, "
    "for which workers wait; a member without a name was an IndexError",
    "parquet of pictures": "names of columns, and paths beside the bytes, that are no UTF-8 "
    "were a UnicodeDecodeError",
    "manifest, labels, inventory, inputs": "damaged pages and footers of Parquet are an OSError "
    "in pyarrow, which was taken for an outage of the store",
    "inventory json": "bytes that are no UTF-8, nesting without end, missing keys were tracebacks",
    "labels json": "nesting without end was a RecursionError",
    "bundle.json": "nesting without end, heads with strange keys were tracebacks",
    "network.keras": "a damaged archive was an OSError or a zlib.error; strange layers were a "
    "KeyError",
    "output job.json, run.json, frozen.json": "records that lack a key, or have another kind of "
    "value there, were tracebacks, in `--compact` too",
}
HEAD = """# Hostile bytes

`python -m benchmarks.fuzz`. Files of every kind that strangers control are mutated by a seed:
bits, bytes, lengths, cuts, repeats, splices, odd words. They are read by the product's own code
in a forked child. It may succeed or raise one of facemill's own errors. Findings are: any other
error, a crash, 5 s of computing, 3 GiB more of memory, a program that is started.

"""


def main() -> None:
    """Run and write the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=200_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--most-s", type=float, default=1e9)
    options = parser.parse_args()
    lines = list[dict[str, Any]]()
    for line in all_cases(options.cases, options.first, options.most_s):
        lines.append(line)
        kinds = collections.Counter(f["what"].strip().splitlines()[-1][:200] for f in line["found"])
        print(
            line["target"], line["cases"], line["seconds"], len(line["found"]), *kinds, flush=True
        )
    DOCUMENT.write_text(document(lines))


def document(lines: list[dict[str, Any]]) -> str:
    """docs/benchmarks/fuzz.md of what `all_cases` gave; tries the bytes of a bundle too."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        bundle = small_bundle(Path(folder) / "bundle")
        tried, accepted = changed_bytes(bundle.folder, every=1, most=20_000)
    rows = ["| target | cases | s | cases/s | found |", "|---|---:|---:|---:|---:|"]
    rows += [
        f"| {line['target']} | {line['cases']:,} | {line['seconds']:.0f} "
        f"| {line['cases'] / max(line['seconds'], 0.1):,.0f} | {len(line['found'])} |"
        for line in lines
    ]
    whole = sum(line["cases"] for line in lines)
    rows.append(f"| all | {whole:,} | {sum(line['seconds'] for line in lines):,.0f} | | |")
    machine = f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}."
    sealed = (
        f"Bytes of a sealed bundle changed one at a time: {tried:,} in "
        f"{time.monotonic() - began:.0f} s, of which {len(accepted)} were not refused."
    )
    found = "\n".join(f"| {target} | {what} |" for target, what in FOUND.items())
    mended = f"| target | found and mended |\n|---|---|\n{found}"
    return "\n\n".join([HEAD.strip(), machine, "\n".join(rows), sealed, mended]) + "\n"


if __name__ == "__main__":
    main()
