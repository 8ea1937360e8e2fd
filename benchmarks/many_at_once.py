"""Many at once: jobs on one cluster and one bucket, drivers on one output, rows in one output.

    python -m benchmarks.many_at_once [--only jobs,drivers,rows] [--jobs 20] [--rows 10000000]

Writes docs/benchmarks/many-at-once.md, and replaces there the parts that were run. The cluster is a
head without cores and two workers of one core each, and the store a real S3 server, all on this
machine. Twenty jobs take a quarter of an hour.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.fs

from benchmarks._contenders import BUNDLE, ROOT, command_line
from benchmarks.aggregation import rows as made_up
from benchmarks.faces.document import with_section
from model.runtime import machine
from pipelines.bundles.opening import copy_bundle, open_bundle
from pipelines.configuration import build
from pipelines.images.drawn_faces import draw_faces
from pipelines.manifests.sources.images import Images
from pipelines.predictions import frozen_inputs, layout, schemas
from pipelines.predictions.dataset import Partitioning, write_dataset
from pipelines.predictions.run_record import write_run
from pipelines.predictions.verification import verify
from pipelines.scoring.claim import claim, resolve
from pipelines.scoring.options import ScoreOptions
from pipelines.storage import tables
from tests.cluster.nodes import local_cluster
from tests.s3_server import S3Server, serve_s3

PAGE = ROOT / "docs" / "benchmarks" / "many-at-once.md"
BUCKET = "many"
TITLES = {
    "drivers": "Drivers of one output",
    "jobs": "Jobs on one cluster and one bucket",
    "rows": "Rows in one output",
}
HEAD = """# Many at once

Each part was measured by itself, on the day and the machine that its first line tells, beside other
work. Drivers of one output: five processes of `jobs.score` with the very same command; all write to
an S3 server, and Ray is a head and two workers of one core. Jobs: as many drivers at once, each
with an output of its own, whose rows are compared with those of one that ran alone. Rows: output as
`jobs.score` leaves it, of made-up answers, verified and compacted by a process of its own each.
"""
PICTURES, DRIVERS, SHARD_ROWS = 60, 5, 50_000


class Store:
    """An S3 server with pictures in a bucket, and what its clients need in their environment."""

    def __init__(self, server: S3Server, pictures: int) -> None:
        """Make the bucket and put them there."""
        self.env = server.env()
        os.environ.update(self.env)
        files = pyarrow.fs.S3FileSystem(
            access_key=server.access_key, secret_key=server.secret_key, scheme="http",
            endpoint_override=server.endpoint.removeprefix("http://"), region=server.region,
            allow_bucket_creation=True,
        )  # fmt: skip
        files.create_dir(BUCKET)
        with tempfile.TemporaryDirectory() as folder:
            draw_faces(Path(folder), count=pictures, seed=1)
            for path in sorted(Path(folder).glob("*.jpg")):
                with files.open_output_stream(f"{BUCKET}/faces/{path.name}") as file:
                    file.write(path.read_bytes())
        self.images = f"s3://{BUCKET}/faces"

    def score(self, output: str, address: str) -> "subprocess.Popen[str]":
        """Start a driver of `jobs.score`."""
        command = [sys.executable, "-m", "jobs.score", "--images", self.images, "--faces", "crop",
                   "--output", output, "--shard-rows", "20"]  # fmt: skip
        return subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "RAY_ADDRESS": address}, text=True,
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
        f"| {count} of {PICTURES} pictures | {codes.count(0)} | {right} | "
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
        refused = sum(code == 2 and "is being written by" in said for code, said in ended)
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
                command = [sys.executable, "-m", "benchmarks.many_at_once", "--in", folder, what]
                done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
                seconds, peak = json.loads(done.stdout.splitlines()[-1])
                shards = -(-number // SHARD_ROWS)
                yield f"| {number:,} | {shards:,} | {what} | {seconds:.1f} | {peak:,.0f} |"


def _finished(output: str, count: int) -> None:
    """A run that scored `count` pictures, as `jobs.score` leaves it, of made-up answers."""
    bundle = open_bundle(BUNDLE)
    options = build(ScoreOptions, images=("/nowhere",), output=output, faces="crop",
                    precision="float32")  # fmt: skip
    job = resolve(options, bundle, Images("/nowhere"))
    claim(job)
    copy_bundle(bundle, layout.path(output, layout.BUNDLE))
    firsts = range(0, count, SHARD_ROWS)
    listed = (made_up(first, min(SHARD_ROWS, count - first)).select(["uri"]) for first in firsts)
    frozen = frozen_inputs.freeze(output, listed, SHARD_ROWS)
    names = schemas.PREDICTIONS_SCHEMA.names
    for index, first in enumerate(firsts):
        part = made_up(first, min(SHARD_ROWS, count - first))
        ids = pa.DictionaryArray.from_arrays(
            pa.array([0] * part.num_rows, pa.int8()), pa.array([bundle.id])
        )
        part = part.set_column(names.index("bundle_id"), "bundle_id", ids)
        tables.write_table(
            layout.shard(output, "predictions", index), part.cast(schemas.PREDICTIONS_SCHEMA)
        )
        nothing = schemas.QUARANTINE_SCHEMA.empty_table()
        tables.write_table(layout.shard(output, "quarantine", index), nothing)
    write_run(output, job.lineage(), frozen, {}, 1.0)


def _measured(output: str, what: str) -> None:
    """Print seconds and peak RSS of one step."""
    began = time.monotonic()
    if what == "verify":
        problems = verify(output).problems
        if problems:
            raise SystemExit(problems[0])
    else:
        write_dataset(output, Partitioning())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([time.monotonic() - began, peak]))


def _end(driver: "subprocess.Popen[str]") -> tuple[int, str]:
    """Its exit code, and what it said."""
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
    header = f"`{command_line()}`, {time.strftime('%Y-%m-%d')}, {machine()}."
    made = dict[str, list[str]]()
    if {"jobs", "drivers"} & set(wanted):
        server = S3Server.at_free_port()
        with serve_s3(server):
            store = Store(server, PICTURES)
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
        before = PAGE.read_text() if PAGE.exists() else ""
        said = with_section(before, tuple(TITLES), name, TITLES[name], [header, *lines], HEAD)
        PAGE.write_text(said)
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
