"""Hostile bytes for everything that strangers control: mutations by a seed, and who must not fall.

A case may end well or in an error of facemill's own. Anything else is a finding: another error, a
crash, seconds of computing, gigabytes of memory, a program started. Cases run in a forked child,
so a finding costs itself. fuzz.py is the command.
"""

import dataclasses
import mmap
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from model.errors import FacemillError
from pipelines.storage.entries import ReadFailure
from tests.robustness.fuzz_targets import TARGETS, Target

MAX_CPU_S, MAX_WALL_S = 5.0, 120.0
MAX_BYTES = 3 << 30  # of address space beyond what the process has: as a decoder apart is allowed
_FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen",
              "pickle.find_class", "socket.connect")  # fmt: skip
_INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@dataclasses.dataclass(frozen=True)
class Finding:
    """What went wrong, and the seed that repeats it."""

    target: str
    seed: int
    what: str


def mutated(seeds: Sequence[bytes], seed: int) -> bytes:
    """One of the seeds, changed in one to six ways; the same for the same seed."""
    draw = random.Random(seed)
    data = bytearray(draw.choice(seeds))
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        draw.choice(_CHANGES)(data, draw, seeds)
    return bytes(data)


def _flip(data: bytearray, draw: random.Random, _: Any) -> None:
    for _ in range(draw.choice((1, 1, 2, 8))):
        if data:
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _byte(data: bytearray, draw: random.Random, _: Any) -> None:
    if data:
        data[draw.randrange(len(data))] = draw.randrange(256)


def _number(data: bytearray, draw: random.Random, _: Any) -> None:
    """A length, a count or an offset becomes another."""
    size = draw.choice((1, 2, 4, 8))
    if len(data) < size:
        return
    at = draw.randrange(len(data) - size + 1)
    value = draw.choice(_INTERESTING) % (1 << 8 * min(size, 4))
    order: Any = draw.choice(("<", ">"))
    data[at : at + size] = struct.pack(order + {1: "B", 2: "H", 4: "I", 8: "Q"}[size], value)


def _cut(data: bytearray, draw: random.Random, _: Any) -> None:
    del data[draw.randrange(len(data) + 1) :]


def _remove(data: bytearray, draw: random.Random, _: Any) -> None:
    at = draw.randrange(len(data) + 1)
    del data[at : at + draw.choice((1, 4, 64))]


def _repeat(data: bytearray, draw: random.Random, _: Any) -> None:
    at = draw.randrange(len(data) + 1)
    chunk = bytes(data[at : at + draw.choice((1, 8, 200))])
    data[at:at] = chunk * draw.choice((1, 3, 50))


def _splice(data: bytearray, draw: random.Random, seeds: Sequence[bytes]) -> None:
    other = draw.choice(seeds)
    start = draw.randrange(len(other) + 1)
    at = draw.randrange(len(data) + 1)
    piece = other[start : start + draw.choice((4, 64, 1000))]
    data[at : at + draw.choice((0, len(piece)))] = piece


def _word(data: bytearray, draw: random.Random, _: Any) -> None:
    """A number or a word of a text becomes one that programs stumble over."""
    at = draw.randrange(len(data) + 1)
    end = at
    while end < len(data) and (chr(data[end]).isalnum() or data[end] in b"-."):
        end += 1
    data[at:end] = draw.choice(
        (b"-1", b"1e999", b"NaN", b"null", b"[]", b"{}", b'""', b"9" * 40, b"true", b"\xff\xfe",
         b"\x00", b"../../x", b"a" * 300, b"[" * 3000, b",", b'"', b"\n", b"inf")
    )  # fmt: skip


_CHANGES = (_flip, _byte, _number, _cut, _remove, _repeat, _splice, _word)


def attempt(target: Target, data: bytes, folder: Path) -> None:
    """Give bytes to a target.

    Raises:
        Exception: a finding.
    """
    try:
        target.eat(data, folder)
    except (FacemillError, ReadFailure):
        return


def fuzz(target: Target, seeds: range, max_s: float = 1e9) -> tuple[int, list[Finding]]:
    """Run cases until they are done or time is up.

    Returns:
        How many were run, and what was found.
    """
    found, ends = list[Finding](), time.monotonic() + max_s
    at = seeds.start
    with tempfile.TemporaryDirectory(prefix="facemill-fuzz-", dir=_fast_folder()) as folder:
        target.prepare(Path(folder))
        originals = target.seeds(Path(folder))
        shared = mmap.mmap(-1, 16)
        while at < seeds.stop and time.monotonic() < ends:
            shared[:16] = struct.pack("qq", at, 0)
            log = Path(folder, "..", f"{Path(folder).name}.log")
            pid = os.fork()
            if pid == 0:
                _eat_many(target, originals, range(at, seeds.stop), Path(folder), shared, log, ends)
            status = _waited(pid, shared)
            at, done = struct.unpack("qq", shared[:16])
            if done:
                at += 1
            else:
                found.append(Finding(target.name, at, _what(status, log)))
                at += 1
            log.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            Path(folder).mkdir()
            target.prepare(Path(folder))
    return at - seeds.start, found


def _fast_folder() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _waited(pid: int, shared: mmap.mmap) -> int:
    """Exit status; a child whose case makes no headway is killed."""
    last, since = -1, time.monotonic()
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        now = struct.unpack("q", shared[:8])[0]
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > MAX_WALL_S:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def _what(status: int, log: Path) -> str:
    text = log.read_text() if log.exists() else ""
    if text:
        return text
    if status == -signal.SIGPROF:
        return f"computed for more than {MAX_CPU_S:g} s"
    if status == -signal.SIGKILL:
        return f"no headway for {MAX_WALL_S:g} s"
    return f"the process ended with {status}"


def _eat_many(
    target: Target,
    originals: Sequence[bytes],
    seeds: range,
    folder: Path,
    shared: mmap.mmap,
    log: Path,
    ends: float,
) -> None:
    """In the child: case after case, up to the first finding."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MAX_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    sys.addaudithook(_no_programs)
    try:
        for seed in seeds:
            shared[:16] = struct.pack("qq", seed, 0)
            signal.setitimer(signal.ITIMER_PROF, MAX_CPU_S)
            attempt(target, mutated(originals, seed), folder)
            signal.setitimer(signal.ITIMER_PROF, 0)
            shared[:16] = struct.pack("qq", seed, 1)
            if time.monotonic() > ends:
                break
    except BaseException:
        log.write_text(traceback.format_exc()[-3000:])
        os._exit(1)
    os._exit(0)


def _no_programs(event: str, arguments: Any) -> None:
    if event in _FORBIDDEN:
        raise PermissionError(f"code was run: {event} {str(arguments)[:200]}")


def all_cases(count: int, first: int = 0, max_s: float = 1e9) -> Iterator[dict[str, Any]]:
    """Fuzz every target by its share of `count` cases."""
    total = sum(target.share for target in TARGETS)
    for target in TARGETS:
        began = time.monotonic()
        wanted = max(1, round(count * target.share / total))
        limit = max_s * target.share / total
        cases, found = fuzz(target, range(first, first + wanted), limit)
        yield {
            "target": target.name, "cases": cases, "seconds": round(time.monotonic() - began, 1),
            "found": [dataclasses.asdict(finding) for finding in found],
        }  # fmt: skip
