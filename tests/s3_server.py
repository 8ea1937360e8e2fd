"""A real S3-protocol store on loopback: OpenStack Swift with its s3api, from PyPI's `swift` alone.

Swift checks signatures, answers real 403s, paginates and does multipart uploads.
The `s3` fixture of conftest.py starts it; by hand, to try a job against it:

    python -m tests.s3_server [http://ADDRESS:PORT]     # prints what to export; Ctrl-C stops it
"""

import contextlib
import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.swift_configuration import SERVICES, write_configuration

STATE_PREFIX = "facemill-swift-"  # then the process id of its owner
START_TIMEOUT_S = 60.0  # 2 s on a quiet machine; CI shares its cores with Ray

# Run by the child before it becomes a Swift server: 1 = PR_SET_PDEATHSIG, so that a killed pytest
# leaves no server behind.
# Not a preexec_fn: that forks this process, which may have TensorFlow's threads by then.
DIE_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]): sys.exit("the parent is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class S3Server:
    """Where an S3-protocol server answers and the key it accepts; path-style addressing only."""

    endpoint: str
    access_key: str = "test:tester"
    secret_key: str = "testing-7d1f09c3"  # unlike any word, so that tests find it where it leaks
    region: str = "us-east-1"

    @classmethod
    def at_free_port(cls) -> "S3Server":
        """Choose where a server shall answer, so that its address is known before it starts."""
        return cls(f"http://127.0.0.1:{free_ports(1)[0]}")

    def env(self) -> dict[str, str]:
        """Return the AWS variables with which pyarrow, s3fs and obstore reach this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ALLOW_HTTP": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def create_bucket(self, name: str) -> str:
        """Make an empty bucket; returns its URI."""
        import pyarrow.fs

        files = pyarrow.fs.S3FileSystem(
            access_key=self.access_key, secret_key=self.secret_key, region=self.region,
            endpoint_override=self.endpoint, allow_bucket_creation=True,
        )  # fmt: skip
        files.create_dir(name)
        return f"s3://{name}"


class ServerDidNotStartError(RuntimeError):
    """Swift did not answer in time; the message ends with the tail of its logs."""


def free_ports(count: int) -> list[int]:
    """Return `count` different TCP ports that were free on loopback a moment ago.

    Below those that the kernel gives to whoever asks for any (32768 and up) and above Ray's own for
    workers (10002 to 19999): nobody takes one by chance before its server is up. At random, as two
    test processes choose at once.
    """
    found: list[int] = []
    for port in random.SystemRandom().sample(range(20_000, 32_768), 50 * count):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"no {count} TCP ports are free on loopback")


@contextlib.contextmanager
def state_folder() -> Iterator[Path]:
    """Yield a new empty folder, removed afterwards, where user xattrs work: Swift needs them.

    /dev/shm first: Swift calls fsync on every PUT, which costs nothing there. Folders of processes
    that were killed are removed too.
    """
    for parent in ("/dev/shm", tempfile.gettempdir(), "/var/tmp"):
        if not os.access(parent, os.W_OK):
            continue
        for old in Path(parent).glob(f"{STATE_PREFIX}*-*"):
            if not Path("/proc", old.name.removeprefix(STATE_PREFIX).partition("-")[0]).exists():
                shutil.rmtree(old, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{STATE_PREFIX}{os.getpid()}-", dir=parent))
        try:
            if keeps_xattrs(folder):
                yield folder
                return
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    raise ServerDidNotStartError(
        "Swift keeps metadata in user xattrs; neither /dev/shm nor the temp folders have them"
    )


def keeps_xattrs(folder: Path) -> bool:
    """Tell whether the file system under `folder` stores a user xattr of the size Swift writes."""
    try:
        os.setxattr(folder, "user.facemill", b"x" * 1000)
    except OSError:
        return False
    return True


def start_service(state: Path, service: str) -> subprocess.Popen[bytes]:
    """Start one Swift service in its own process group, writing to `state`/SERVICE.log."""
    program = Path(sys.executable).parent / f"swift-{service}-server"
    command = [str(program), str(state / f"{service}-server.conf"), "--verbose"]
    with (state / f"{service}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-c", DIE_WITH_PARENT, str(os.getpid()), *command],
            env=os.environ | {"SWIFT_DIR": str(state)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,
        )


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """Kill each process with its whole group; there is nothing in them to save."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(port: int) -> bool:
    """Tell whether an HTTP server on loopback answers a request on `port`, with whatever status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    else:
        return True
    finally:
        connection.close()


def wait_until_up(
    state: Path, processes: dict[str, subprocess.Popen[bytes]], ports: dict[str, int]
) -> None:
    """Return once every service answers.

    Raises:
        ServerDidNotStartError: if one exits, or after START_TIMEOUT_S; says which and why.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    waiting = list(processes)
    while waiting:
        service = waiting[0]
        if answers(ports[service]):
            waiting.pop(0)
            continue
        dead = [name for name, process in processes.items() if process.poll() is not None]
        if dead or time.monotonic() > deadline:
            why = f"{dead} ended" if dead else f"{service} is silent after {START_TIMEOUT_S:.0f} s"
            logs = [state / f"{name}.log" for name in processes]
            tails = [f"--- {log.name}\n{log.read_text()[-2000:]}" for log in logs]
            raise ServerDidNotStartError("\n".join([f"Swift did not start: {why}", *tails]))
        time.sleep(0.05)


@contextlib.contextmanager
def serve_s3(server: S3Server) -> Iterator[None]:
    """Run Swift at `server`'s endpoint until the block ends, or this process does.

    Raises:
        ServerDidNotStartError: with the tail of the logs.
    """
    ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
    ports["proxy"] = int(server.endpoint.rpartition(":")[2])
    processes: dict[str, subprocess.Popen[bytes]] = {}
    with state_folder() as state:
        address = "127.0.0.1" if "127.0.0.1" in server.endpoint else "0.0.0.0"
        write_configuration(state, ports, server.region, server.secret_key, address)
        try:
            for service in ports:
                processes[service] = start_service(state, service)
            wait_until_up(state, processes, ports)
            yield
        finally:
            stop(list(processes.values()))


def main() -> None:
    """Serve until interrupted; print what to export."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = S3Server(sys.argv[1]) if sys.argv[1:] else S3Server.at_free_port()
    with serve_s3(server), contextlib.suppress(KeyboardInterrupt):
        for name, value in server.env().items():
            print(f"export {name}={value}")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    main()
