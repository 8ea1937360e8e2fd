"""A store on loopback that answers every request alike, as a real one does when it refuses."""

import contextlib
import ssl
import threading
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

Answer = tuple[int, dict[str, str], bytes]  # status, headers, body


class _Server(HTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is no news."""


@contextlib.contextmanager
def served(
    handler: type[BaseHTTPRequestHandler],
    monkeypatch: pytest.MonkeyPatch,
    context: ssl.SSLContext | None = None,
) -> Generator[str]:
    """Meanwhile `handler` is the store; with `context` it speaks TLS."""
    with _Server(("127.0.0.1", 0), handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        for name, value in {
            "AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        yield endpoint
        server.shutdown()


def handler(answer: Callable[[BaseHTTPRequestHandler], Answer]) -> type[BaseHTTPRequestHandler]:
    """Answers each request by a function of it."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            status, headers, body = answer(self)
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = _answer

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def answering(status: int, code: str, message: str = "no") -> type[BaseHTTPRequestHandler]:
    """A store that answers every request so."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>" if code else ""
    return handler(lambda _: (status, {}, body.encode()))
