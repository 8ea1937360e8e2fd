"""An S3 store in the memory of one process, which can fail at its k-th write.

`tests/s3_server.py` is a real one; this one answers in a millisecond, forgets everything on demand,
and knows whom to kill. It checks no signature.
"""

import contextlib
import dataclasses
import hashlib
import http.client
import http.server
import json
import os
import re
import signal
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

Fault = Literal["none", "kill_before", "kill_after", "500", "503_once", "lost_once", "lost"]
_STAMP = "2026-01-01T00:00:00.000Z"


@dataclasses.dataclass
class Plan:
    """What happens at the `at`-th write from now on; `pid` is whom to kill."""

    at: int = 0
    fault: Fault = "none"
    pid: int = 0
    writes: int = 0


@dataclasses.dataclass
class _Held:
    objects: dict[str, bytes] = dataclasses.field(default_factory=dict[str, bytes])
    kept: dict[str, dict[str, bytes]] = dataclasses.field(
        default_factory=dict[str, dict[str, bytes]]
    )
    parts: dict[str, dict[int, bytes]] = dataclasses.field(
        default_factory=dict[str, dict[int, bytes]]
    )
    plan: Plan = dataclasses.field(default_factory=Plan)


_state = _Held()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize, disable_nagle_algorithm = 1 << 20, True  # else each answer waits 40 ms for an ACK

    def _handle(self) -> None:
        body = self._body()
        address = urlsplit(self.path)
        key, query = unquote(address.path).lstrip("/"), parse_qs(address.query, True)
        if key.startswith("-/"):
            return self._control(key[2:], body)
        if self.command in ("GET", "HEAD"):
            return self._read(key, query)
        plan = _state.plan
        plan.writes += 1
        is_due = plan.writes == plan.at or (plan.fault in ("500", "lost") and plan.writes > plan.at)
        fault = plan.fault if is_due and plan.at else "none"
        if fault == "kill_before":
            return self._kill()
        if fault in ("500", "503_once"):
            return self._answer(int(fault[:3]), b"<Error><Code>SlowDown</Code></Error>")
        status, data, headers = self._write(key, query, body)
        if fault == "kill_after":
            return self._kill()
        if fault in ("lost", "lost_once"):
            return self._hang_up()
        return self._answer(status, data, headers)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _write(
        self, key: str, query: dict[str, list[str]], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        tag = {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}
        if self.command == "DELETE":
            _state.objects.pop(key, None)
            return 204, b"", {}
        if self.command == "POST" and "delete" in query:
            names = re.findall(rb"<Key>(.*?)</Key>", body)
            for name in names:
                _state.objects.pop(f"{key.rstrip('/')}/{name.decode()}", None)
            gone = b"".join(b"<Deleted><Key>%s</Key></Deleted>" % name for name in names)
            return 200, b"<DeleteResult>%s</DeleteResult>" % gone, {}
        if self.command == "POST" and "uploads" in query:
            _state.parts[key] = {}
            answer = f"<InitiateMultipartUploadResult><UploadId>{escape(key)}</UploadId>"
            return 200, f"{answer}</InitiateMultipartUploadResult>".encode(), {}
        if self.command == "POST" and "uploadId" in query:
            parts = _state.parts.pop(key, {})
            _state.objects[key] = b"".join(parts[number] for number in sorted(parts))
            answer = b"<CompleteMultipartUploadResult><ETag>x</ETag>"
            return 200, answer + b"</CompleteMultipartUploadResult>", {}
        if "partNumber" in query:
            _state.parts.setdefault(key, {})[int(query["partNumber"][0])] = body
            return 200, b"", tag
        if self.headers.get("If-None-Match") == "*" and key in _state.objects:
            return 412, b"<Error><Code>PreconditionFailed</Code></Error>", {}
        _state.objects[key] = body
        return 200, b"", tag

    def _read(self, key: str, query: dict[str, list[str]]) -> None:
        if "list-type" in query:
            return self._answer(200, _listing(key.rstrip("/"), query))
        data = _state.objects.get(key)
        if data is None:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        headers = {"ETag": f'"{hashlib.md5(data).hexdigest()}"',
                   "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}  # fmt: skip
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if span is None:
            return self._answer(200, data, headers)
        start, end = int(span[1]), int(span[2] or len(data) - 1)
        headers["Content-Range"] = f"bytes {start}-{min(end, len(data) - 1)}/{len(data)}"
        return self._answer(206, data[start : end + 1], headers)

    def _answer(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(_state.plan.pid, signal.SIGKILL)
        self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RD)
        self.connection.close()

    def _control(self, command: str, body: bytes) -> None:
        asked: dict[str, Any] = json.loads(body or b"{}")
        answer: Any = None
        if command == "plan":
            _state.plan = Plan(**asked)
        elif command == "keep":
            _state.kept[asked["name"]] = dict(_state.objects)
        elif command == "restore":
            _state.objects, _state.parts = dict(_state.kept.get(asked["name"], {})), {}
        elif command == "all":
            answer = {name: data.decode("latin-1") for name, data in _state.objects.items()}
        elif command == "writes":
            answer = _state.plan.writes
        self._answer(200, json.dumps(answer).encode())

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # a client that was killed
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _listing(bucket: str, query: dict[str, list[str]]) -> bytes:
    prefix, delimiter = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
    names = sorted(n.removeprefix(f"{bucket}/") for n in _state.objects if n.startswith(bucket))
    entries, folders = list[str](), set[str]()
    for name in names:
        if not name.startswith(prefix):
            continue
        rest = name[len(prefix) :]
        if delimiter and delimiter in rest:
            folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
            continue
        data = _state.objects[f"{bucket}/{name}"]
        entries.append(
            f"<Contents><Key>{escape(name)}</Key><LastModified>{_STAMP}</LastModified>"
            f"<ETag>&quot;{hashlib.md5(data).hexdigest()}&quot;</ETag><Size>{len(data)}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
        )
    common = [f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in folders]
    head = (
        f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(entries)}</KeyCount>"
    )
    text = "".join(
        [head, "<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>", *entries, *common]
    )
    return f"<ListBucketResult>{text}</ListBucketResult>".encode()


@dataclasses.dataclass(frozen=True)
class MemoryStore:
    """The store from outside."""

    port: int

    def ask(self, command: str, **values: Any) -> Any:
        """Tell it, or ask it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("POST", f"/-/{command}", json.dumps(values))
            return json.loads(connection.getresponse().read())

    def env(self) -> dict[str, str]:
        """The AWS variables that lead to it."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}", "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ALLOW_HTTP": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip


@contextlib.contextmanager
def serve_memory() -> Iterator[MemoryStore]:
    """Run one in a forked process, which ends with the block or with this process."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    owner = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            server.timeout = 0.2
            while os.getppid() == owner:
                server.handle_request()
        finally:
            os._exit(0)
    port = server.server_address[1]
    server.server_close()
    try:
        yield MemoryStore(port)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        time.sleep(0)
