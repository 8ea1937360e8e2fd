"""Reading the same images from each kind of source: `python -m benchmarks.sources`.

Draws faces, packs them as people do (files, .tar, .zip, .tar.gz, Parquet), on a disk and in an
S3-protocol store on loopback (OpenStack Swift, slow by itself); lists and reads them by one
process; counts seconds and, of the store, requests. Nothing is decoded. Writes
docs/benchmarks/sources.md.
"""

import os
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from benchmarks import harness
from demo.drawn_faces import draw_faces
from pipelines import storage
from pipelines.storage.entries import ReadFailure
from pipelines.storage.fetching import fetch_all
from tests.archives import parquet_of, rows_of, tar_of, zip_of
from tests.robustness.fault_proxy import faulty
from tests.s3_server import S3Server, serve_s3

SMALL, FULL = 300, 2_000  # images
NEVER = 1 << 60  # the proxy only counts
HEAD = ("from", "list, s:", "read, s:", "images/s:", "requests to list:", "requests an image:")
Packed = Callable[[dict[str, bytes]], bytes]
KINDS: dict[str, tuple[str, Packed | None]] = {
    "single files": ("faces", None),
    ".tar": ("faces.tar", lambda members: tar_of(members, "w")),
    ".zip": ("faces.zip", zip_of),
    ".tar.gz": ("faces.tar.gz", tar_of),
    "Parquet, groups of 100": ("few.parquet", lambda m: parquet_of([*m.values()], group_rows=100)),
    "Parquet, groups of 1,000": ("p.parquet", lambda m: parquet_of([*m.values()], group_rows=1000)),
}


def drawn(count: int) -> dict[str, bytes]:
    """Names and bytes of drawn faces."""
    with tempfile.TemporaryDirectory(prefix="facemill-sources-") as folder:
        draw_faces(Path(folder), count)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).glob("*.jpg"))}


def measure(
    root: str, members: dict[str, bytes], asked: Callable[[], int]
) -> list[tuple[str, ...]]:
    """A table row for each kind of source below `root`."""
    measured: list[tuple[str, ...]] = []
    for title, (name, packed) in KINDS.items():
        if packed is None:
            for member, data in members.items():
                storage.write_bytes(f"{root}/{name}/{member}", data)
        else:
            storage.write_bytes(f"{root}/{name}", packed(members))
        before = asked()
        started = time.perf_counter()
        rows = rows_of(f"{root}/{name}")
        listed, requests = time.perf_counter(), asked() - before
        wrong = sum(isinstance(data, ReadFailure) for data in fetch_all(rows))
        seconds = time.perf_counter() - listed
        if wrong or len(rows) != len(members):
            raise SystemExit(f"{title}: {len(rows)} listed, {wrong} not read")
        per_image = (asked() - before - requests) / len(rows)
        measured.append((
            title, f"{listed - started:.2f}", f"{seconds:.2f}", f"{len(rows) / seconds:,.0f}",
            str(requests or "-"), f"{per_image:.2f}" if requests else "-",
        ))  # fmt: skip
        print(*measured[-1], sep=", ", flush=True)
    return measured


def main() -> None:
    """Measure a disk and a store."""
    given = harness.parsed(harness.arguments(__doc__, "benchmarks/sources.md"))
    members = drawn(FULL if given.full else SMALL)
    size = sum(map(len, members.values())) / len(members)
    with tempfile.TemporaryDirectory(prefix="facemill-sources-") as folder:
        disk = measure(folder, members, lambda: 0)
    server = S3Server.at_free_port()
    with serve_s3(server), faulty(server.endpoint, every=NEVER) as proxy:
        os.environ |= server.env() | {"AWS_ENDPOINT_URL": proxy.endpoint}
        bucket = server.create_bucket(f"sources-{uuid.uuid4().hex[:8]}")
        store = measure(bucket, members, proxy.requests.total)
    harness.write(given, [
        "The same drawn faces as files, in archives and in Parquet, listed and read by one "
        f"process. Nothing is decoded. {len(members):,} images of {size:,.0f} bytes.", "",
        "A local disk:", "", *harness.table(HEAD, disk), "",
        "The S3 server on loopback:", "", *harness.table(HEAD, store),
    ])  # fmt: skip


if __name__ == "__main__":
    main()
