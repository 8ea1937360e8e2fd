"""Reading the same images from each kind of source: `python -m benchmarks.sources`.

Draws faces, packs them as people do (files, .tar, .zip, .tar.gz, Parquet), on a disk and in an
S3-protocol store on loopback (OpenStack Swift, slow by itself); lists and reads them by one
process; counts seconds and, of the store, requests. Nothing is decoded. Writes
docs/benchmarks/sources.md.
"""

import os
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks import harness
from pipelines import storage
from pipelines.images.drawn_faces import draw_faces
from pipelines.storage.failures import ReadFailure
from pipelines.storage.fetching import fetch_all
from pipelines.storage.listing import list_files
from tests.archives import parquet_of, tar_of, zip_of
from tests.s3_server import S3Server, serve_s3

SMALL, FULL = 300, 2_000  # images
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


def measure(root: str, members: dict[str, bytes], asked: list[str]) -> list[tuple[str, ...]]:
    """A table row for each kind of source below `root`."""
    measured: list[tuple[str, ...]] = []
    for title, (name, packed) in KINDS.items():
        if packed is None:
            for member, data in members.items():
                storage.write_bytes(f"{root}/{name}/{member}", data)
        else:
            storage.write_bytes(f"{root}/{name}", packed(members))
        asked.clear()
        started = time.perf_counter()
        entries = list(list_files(f"{root}/{name}"))
        listed, requests = time.perf_counter(), len(asked)
        rows: list[dict[str, Any]] = [
            {"uri": e.uri, "offset": e.offset, "bytes": e.bytes} for e in entries
        ]
        wrong = sum(isinstance(data, ReadFailure) for data in fetch_all(rows))
        seconds = time.perf_counter() - listed
        if wrong or len(rows) != len(members):
            raise SystemExit(f"{title}: {len(rows)} listed, {wrong} not read")
        per_image = (len(asked) - requests) / len(rows)
        measured.append((
            title, f"{listed - started:.2f}", f"{seconds:.2f}", f"{len(rows) / seconds:,.0f}",
            f"{requests if asked else '-'}", f"{per_image:.2f}" if asked else "-",
        ))  # fmt: skip
        print(*measured[-1], sep=", ", flush=True)
    return measured


def counting_proxy(server: S3Server, asked: list[str]) -> ThreadingHTTPServer:
    """A proxy before the store that notes each request."""
    host = server.endpoint.removeprefix("http://")

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            asked.append(self.path)
            connection = HTTPConnection(host, timeout=60)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection.request(self.command, self.path, body or None, dict(self.headers))
            answer = connection.getresponse()
            data = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            size = answer.headers["Content-Length"] if self.command == "HEAD" else len(data)
            self.send_header("Content-Length", str(size or 0))
            self.end_headers()
            self.wfile.write(data)
            connection.close()

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass

        def log_message(self, format: str, *args: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Proxy)


def main() -> None:
    """Measure a disk and a store."""
    given = harness.parsed(harness.arguments(__doc__, "benchmarks/sources.md"))
    members, asked = drawn(FULL if given.full else SMALL), list[str]()
    size = sum(map(len, members.values())) / len(members)
    with tempfile.TemporaryDirectory(prefix="facemill-sources-") as folder:
        disk = measure(folder, members, [])
    server = S3Server.at_free_port()
    with serve_s3(server), counting_proxy(server, asked) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{proxy.server_port}"
        os.environ |= server.env() | {"AWS_ENDPOINT_URL": address}
        import pyarrow.fs

        name = f"sources-{uuid.uuid4().hex[:8]}"
        pyarrow.fs.S3FileSystem(
            endpoint_override=server.endpoint, allow_bucket_creation=True
        ).create_dir(name)
        store = measure(f"s3://{name}", members, asked)
        proxy.shutdown()
    harness.write(given, [
        "The same drawn faces as files, in archives and in Parquet, listed and read by one "
        f"process. Nothing is decoded. {len(members):,} images of {size:,.0f} bytes.", "",
        "A local disk:", "", *harness.table(HEAD, disk), "",
        "The S3 server on loopback:", "", *harness.table(HEAD, store),
    ])  # fmt: skip


if __name__ == "__main__":
    main()
