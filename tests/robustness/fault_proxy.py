"""An HTTP proxy on loopback that misbehaves: 503, reset, stall, truncated body.

It stands between a client and a store of tests/s3_server.py or tests/clouds.py. Every `every`-th
request fails, the kinds of failure taking turns; the Host header passes unchanged, so signatures
stay valid, but where a store knows its buckets by it.
"""

import collections
import contextlib
import http.client
import http.server
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

FAULTS = ("503", "reset", "truncated", "stall", "lost_answer")
_SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code></Error>"
_HOP = {"connection", "transfer-encoding", "keep-alive"}


class FaultProxy(http.server.ThreadingHTTPServer):
    """Forwards to `upstream`, sometimes; `count` says what happened how often.

    `requests` counts (method, path without the query), failed ones too.
    """

    daemon_threads = True

    def __init__(self, upstream: str, every: int, stall_s: float, keeps_host: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.dropped = _HOP if keeps_host else _HOP | {"host"}
        self.upstream, self.every, self.stall_s = urlsplit(upstream), every, stall_s
        self.count: collections.Counter[str] = collections.Counter()
        self.requests: collections.Counter[tuple[str, str]] = collections.Counter()
        self.outage_until = 0.0
        self._lock = threading.Lock()
        self._asked = 0

    @property
    def endpoint(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def next_fault(self, method: str, path: str) -> str:
        """What to do with the next request: '' is to forward it."""
        with self._lock:
            self._asked += 1
            self.requests[method, urlsplit(path).path] += 1
            turn, late = divmod(self._asked, self.every)
            fault = "" if late else FAULTS[turn % len(FAULTS)]
            if time.monotonic() < self.outage_until:
                fault = "503"
            self.count[fault or "forwarded"] += 1
            return fault

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultProxy

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.next_fault(self.command, self.path)
        if fault == "reset":
            return self._reset()
        if fault == "503":
            self.close_connection = True
            return self._send(503, {"Content-Length": str(len(_SLOW_DOWN))}, _SLOW_DOWN)
        if fault == "stall":
            time.sleep(self.server.stall_s)
            return self._reset()
        status, headers, data = self._forward(body)
        if fault == "lost_answer":  # the store did it and the client never hears
            return self._reset()
        if fault == "truncated" and data:
            self.close_connection = True
            data = data[: len(data) // 2]
        self._send(status, headers, data)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        host, port = self.server.upstream.hostname, self.server.upstream.port
        connection = http.client.HTTPConnection(str(host), port, timeout=30)
        with contextlib.closing(connection):
            dropped = self.server.dropped
            headers = {k: v for k, v in self.headers.items() if k.lower() not in dropped}
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            data = response.read()
            kept = {k: v for k, v in response.getheaders() if k.lower() not in _HOP}
        if self.command != "HEAD":
            kept = {k: v for k, v in kept.items() if k.lower() != "content-length"}
            kept["Content-Length"] = str(len(data))
        return response.status, kept, data

    def _send(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _reset(self) -> None:
        """End the connection with a TCP reset."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RD)
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def faulty(
    upstream: str, every: int = 3, stall_s: float = 1.0, keeps_host: bool = True
) -> Iterator[FaultProxy]:
    """Run a proxy while the block runs."""
    proxy = FaultProxy(upstream, every, stall_s, keeps_host)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()
