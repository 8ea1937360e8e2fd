"""Many at once: jobs on one cluster and one bucket, drivers on one output, rows in one output.

    python -m tests.robustness.many_at_once [--only jobs,drivers,rows] [--jobs 20] [--rows 10000000]

Writes docs/robustness/many-at-once.md, and replaces there the parts that were run. The cluster is a
head without cores and two workers of one core each, and the store a real S3 server, all on this
machine. Twenty jobs take a quarter of an hour.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from benchmarks import harness
from demo.drawn_faces import draw_faces
from pipelines import storage
from pipelines.bundles.opening import copy_bundle, open_bundle
from pipelines.configuration import build
from pipelines.manifests.sources.images import Images
from pipelines.predictions import frozen_inputs, layout, schemas
from pipelines.predictions.dataset import Partitioning, write_dataset
from pipelines.predictions.run_record import write_run
from pipelines.predictions.verification import verify
from pipelines.scoring.job import prepare
from pipelines.scoring.options import ScoreOptions
from pipelines.scoring.plan import claim, plan
from pipelines.storage import tables
from tests.cluster.nodes import local_cluster
from tests.predictions import random_predictions
from tests.s3_server import S3Server, serve_s3

PAGE = harness.ROOT / "docs" / "robustness" / "many-at-once.md"
BUCKET = "many"
IMAGES, DRIVERS, SHARD_ROWS = 60, 5, 50_000


class Store:
    """An S3 server with images in a bucket, and what its clients need in their environment."""

    def __init__(self, server: S3Server, images: int) -> None:
        """Make the bucket and put them there."""
        self.env = server.env()
        os.environ.update(self.env)
        self.images = f"{server.create_bucket(BUCKET)}/faces"
        with tempfile.TemporaryDirectory() as folder:
            draw_faces(Path(folder), count=images, seed=1)
            for path in sorted(Path(folder).glob("*.jpg")):
                storage.write_bytes(f"{self.images}/{path.name}", path.read_bytes())

    def score(self, output: str, address: str) -> "subprocess.Popen[str]":
        """Start a driver of `jobs.score`."""
        command = [sys.executable, "-m", "jobs.score", "--images", self.images, "--faces", "crop",
                   "--output", output, "--shard-rows", "20"]  # fmt: skip
        return subprocess.Popen(
            command, cwd=harness.ROOT, env={**os.environ, "RAY_ADDRESS": address}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip


def jobs(store: Store, address: str, count: int) -> Iterator[str]:
    """`count` drivers at once, each with an output of its own."""
    began = time.monotonic()
    _end(store.score(f"s3://{BUCKET}/alone", address))
    alone = time.monotonic() - began
    began, ends = time.monotonic(), dict[int, float]()
    drivers = [store.score(f"s3://{BUCKET}/job-{k:02d}", address) for k in range(count)]
    codes = list[int]()

    def wait(number: int) -> None:
        codes.append(_end(drivers[number])[0])
        ends[number] = time.monotonic() - began

    threads = [threading.Thread(target=wait, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = _answers(f"s3://{BUCKET}/alone")
    right = 0
    for k in range(count):
        output = f"s3://{BUCKET}/job-{k:02d}"
        verified = verify(output)
        right += not verified.problems and _answers(output) == expected
    yield (
        "| jobs | ended well | outputs right, row for row | first done, s | last done, s | "
        "one alone, s |"
    )
    yield "|---:|---:|---:|---:|---:|---:|"
    yield (
        f"| {count} of {IMAGES} images | {codes.count(0)} | {right} | "
        f"{min(ends.values()):.0f} | {max(ends.values()):.0f} | {alone:.0f} |"
    )


def drivers(store: Store, address: str) -> Iterator[str]:
    """Five drivers with the very same command."""
    yield "| try | ended well | refused in a sentence | otherwise | rows | verified |"
    yield "|---|---:|---:|---:|---:|---|"
    for number in range(3):
        output = f"s3://{BUCKET}/fought-{number}"
        started = [store.score(output, address) for _ in range(DRIVERS)]
        ended = [_end(driver) for driver in started]
        well = sum(code == 0 for code, _ in ended)
        refused = sum(code == 2 and "is being written by" in printed for code, printed in ended)
        verified = verify(output)
        yield (
            f"| {number + 1} | {well} | {refused} | {DRIVERS - well - refused} | "
            f"{verified.scored:,} | {'right' if not verified.problems else verified.problems[0]} |"
        )


def rows(count: int) -> Iterator[str]:
    """An output of `count` rows, verified and compacted; each in a process of its own."""
    yield "| rows | shards | what | seconds | peak RSS, MiB |"
    yield "|---:|---:|---|---:|---:|"
    for number in (count // 10, count, 3 * count):
        with tempfile.TemporaryDirectory(prefix="facemill-rows-", dir="/var/tmp") as folder:
            _finished(folder, number)
            for what in ("verify", "compact"):
                peak = harness.apart("tests.robustness.many_at_once", "--in", folder, what)
                shards = -(-number // SHARD_ROWS)
                measured = f"{peak['seconds']:.1f} | {peak['mib']:,.0f}"
                yield f"| {number:,} | {shards:,} | {what} | {measured} |"


def _finished(output: str, count: int) -> None:
    """A run that scored `count` images, as `jobs.score` leaves it, of generated predictions."""
    bundle = open_bundle(harness.BUNDLE)
    options = build(
        ScoreOptions, images=("/nowhere",), output=output, faces="crop", compute="float32"
    )
    job = plan(prepare(options, bundle, Images("/nowhere")))
    claim(job)
    copy_bundle(bundle, layout.path(output, layout.BUNDLE))
    shards = [range(first, min(first + SHARD_ROWS, count)) for first in range(0, count, SHARD_ROWS)]
    listed = (pa.table({"uri": _uris(shard)}) for shard in shards)
    frozen = frozen_inputs.freeze(output, listed, SHARD_ROWS)
    for index, shard in enumerate(shards):
        ids = [bundle.id] * len(shard)
        made = random_predictions(index, len(shard), uri=_uris(shard), bundle_id=ids)
        tables.write_table(layout.shard(output, "predictions", index), made)
        nothing = schemas.QUARANTINE_SCHEMA.empty_table()
        tables.write_table(layout.shard(output, "quarantine", index), nothing)
    write_run(output, job.lineage(), frozen, {}, 1.0)


def _uris(numbers: range) -> list[str]:
    return [f"s3://faces/{n // 10_000:06d}/{n}.jpg" for n in numbers]


def _measured(output: str, what: str) -> None:
    """Print seconds and peak memory of one step."""

    def act() -> None:
        if what == "compact":
            write_dataset(output, Partitioning())
        elif problems := verify(output).problems:
            raise SystemExit(problems[0])

    seconds = harness.seconds(act)
    print(json.dumps({"seconds": seconds, "mib": harness.peak_mib()}))


def _end(driver: "subprocess.Popen[str]") -> tuple[int, str]:
    """Its exit code, and what it printed."""
    out, err = driver.communicate(timeout=3600)
    return driver.returncode, out + err


def _answers(output: str) -> list[dict[str, object]]:
    table = schemas.read_predictions(output).sort_by("uri")
    return table.to_pylist()


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", default="drivers,jobs,rows")
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--in", dest="inside", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        _measured(*arguments.inside)
        return
    wanted = arguments.only.split(",")
    made = dict[str, list[str]]()
    if {"jobs", "drivers"} & set(wanted):
        server = S3Server.at_free_port()
        with serve_s3(server):
            store = Store(server, IMAGES)
            with local_cluster(2, store.env) as cluster:
                os.environ.update(
                    {k: v for k, v in cluster.env.items() if k.startswith(("RAY_", "AWS_"))}
                )
                if "drivers" in wanted:
                    made["drivers"] = list(drivers(store, cluster.address))
                if "jobs" in wanted:
                    made["jobs"] = list(jobs(store, cluster.address, arguments.jobs))
    if "rows" in wanted:
        made["rows"] = list(rows(arguments.rows))
    for name, lines in made.items():
        printed = [harness.origin(), "", *lines]
        PAGE.write_text(harness.with_part(PAGE.read_text(), name, printed))
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
