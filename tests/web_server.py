"""A web server on loopback that misbehaves as those of the web do; it counts what it is asked."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class WebServer:
    """Where it answers, and what it was asked.

    /files/NAME gives a file; /redirect/N leads there over N steps, /to?URL anywhere; /status/N
    answers so; /busy/NAME answers 503 twice, then the file; /later/NAME asks for an hour;
    /cut/NAME breaks off; /slow/NAME takes a moment.
    """

    def __init__(self, port: int, files: Mapping[str, bytes]) -> None:
        """Nothing is asked yet."""
        self.url, self.files = f"http://127.0.0.1:{port}", dict(files)
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0


@contextlib.contextmanager
def serve_web(files: Mapping[str, bytes]) -> Iterator[WebServer]:
    """Run it meanwhile."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with lock:
                web.asked.append(self.path)
                web.at_once += 1
                web.most_at_once = max(web.most_at_once, web.at_once)
            try:
                self._answer(*self.path.lstrip("/").split("/", 1))
            finally:
                with lock:
                    web.at_once -= 1

        do_HEAD = do_GET

        def _answer(self, kind: str, rest: str = "") -> None:
            data = web.files.get(rest, b"")
            if kind == "redirect":
                step = int(rest)
                self._send(302, b"", f"/redirect/{step - 1}" if step else "/files/1.jpg")
            elif kind.startswith("to?"):
                self._send(302, b"", self.path.partition("?")[2])
            elif kind == "status":
                self._send(int(rest), b"sorry")
            elif kind == "busy" and web.asked.count(self.path) <= 2:
                self._send(503, b"", retry_after="0")
            elif kind == "later":
                self._send(503, b"", retry_after="3600")
            elif kind == "cut":
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2])
                self.close_connection = True
            else:
                if kind == "slow":
                    time.sleep(0.1)
                self._send(200 if rest in web.files else 404, data)

        def _send(
            self, status: int, data: bytes, location: str = "", retry_after: str = ""
        ) -> None:
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            if retry_after:
                self.send_header("Retry-After", retry_after)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    lock = threading.Lock()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        web = WebServer(server.server_port, files)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield web
        finally:
            server.shutdown()
