"""One driver at a time: a lease file in the output, kept alive by a heartbeat.

    output/lease.json     owner, host, pid, started, beat (seconds since 1970)

It saves two drivers from doing the same work twice; correctness never leans on it, because a
shard's file is put in place whole and says the same whoever writes it.
"""

import contextlib
import dataclasses
import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType

from model.errors import FacemillError, UsageError
from pipelines import storage

EXPIRES_S = 60.0  # four heartbeats: a store that fails for half a minute costs nobody the lease
_SETTLE_S = 0.5  # after a take-over: two who did so see each other's file


@dataclasses.dataclass(frozen=True)
class Holder:
    """Who holds the lease, and when it last said so."""

    owner: str
    host: str
    pid: int
    started: str
    beat: float

    def is_gone(self, expires_s: float) -> bool:
        """Whether its heartbeat stopped, or its process on this very host has ended."""
        if self.host == this_host() and process_start(self.pid) != self.started:
            return True
        return time.time() - self.beat > expires_s


def this_host() -> str:
    """Name and boot of this machine: a process id means something only within one boot."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()}/{boot.read_text().strip() if boot.exists() else ''}"


def process_start(pid: int) -> str:
    """When a process started, in the kernel's ticks: a reused process id has another; '' = gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if stat[0] in "ZX" else stat[19]


class Lease:
    """Holds `output` for this process while the block runs.

    Attributes:
        lost: whether another driver has taken it over meanwhile.
    """

    def __init__(self, output: str, expires_s: float = EXPIRES_S) -> None:
        """Name the file; nothing is taken yet."""
        self.output = output
        self.uri = storage.join(output, "lease.json")
        self.expires_s = expires_s
        self.lost = False
        self.owner = uuid.uuid4().hex
        self._ended = threading.Event()
        self._heartbeat = threading.Thread(target=self._keep_alive, name="lease", daemon=True)

    def __enter__(self) -> "Lease":
        """Take the lease.

        Raises:
            UsageError: another driver holds it.
        """
        holder = self.holder()
        if holder is not None and not holder.pid:
            # Half a file: on a disk without links another driver may be writing it now.
            time.sleep(_SETTLE_S)
            holder = self.holder()
        if holder is not None and not holder.is_gone(self.expires_s):
            raise self._refusal(holder)
        if holder is not None:
            storage.delete(self.uri)
        storage.create_bytes(self.uri, self._text())
        settle_s = storage.store_of(self.uri).SETTLE_S
        if holder is not None or settle_s:
            time.sleep(max(settle_s, _SETTLE_S))
        winner = self.holder()
        # Not by what `create` answered: a client that tried again may have met its own file.
        if winner is None or winner.owner != self.owner:
            raise self._refusal(winner)
        self._heartbeat.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the lease back, unless it is another's by now."""
        self._ended.set()
        self._heartbeat.join(timeout=self.expires_s)
        with contextlib.suppress(OSError):  # it expires by itself
            holder = self.holder()
            if holder is not None and holder.owner == self.owner:
                storage.delete(self.uri)

    def holder(self) -> Holder | None:
        """Who holds it now; None if nobody does, or the file is half a file."""
        try:
            return Holder(**json.loads(storage.read_bytes(self.uri)))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            return Holder("", "", 0, "", 0.0)

    def check(self) -> None:
        """Stop this driver if its heartbeat saw that another has taken over.

        Raises:
            FacemillError: the lease is another's.
        """
        if self.lost:
            raise FacemillError(
                f"another driver has taken over `output` {self.output}: this one could "
                "not reach the store for too long; what is done is safe"
            )

    def confirm(self) -> None:
        """`check`, asked of the store: before a write that must not undo a successor's.

        Raises:
            FacemillError: the lease is another's.
            OSError: the store cannot say.
        """
        holder = self.holder()
        self.lost = self.lost or holder is None or holder.owner != self.owner
        self.check()

    def _text(self) -> bytes:
        pid = os.getpid()
        holder = Holder(self.owner, this_host(), pid, process_start(pid), time.time())
        return json.dumps(dataclasses.asdict(holder)).encode()

    def _keep_alive(self) -> None:
        while not self._ended.wait(self.expires_s / 4):
            with contextlib.suppress(OSError):  # the store fails: the next heartbeat may reach it
                holder = self.holder()
                if holder is None or holder.owner != self.owner:
                    self.lost = True  # taken over, maybe given back since: never taken again
                    return
                storage.write_bytes(self.uri, self._text())

    def _refusal(self, holder: Holder | None) -> UsageError:
        if holder is None or not holder.pid:
            return UsageError(
                f"`output` {self.output} is being claimed by another driver: wait for it"
            )
        host, ago = holder.host.partition("/")[0], max(0.0, time.time() - holder.beat)
        return UsageError(
            f"`output` {self.output} is being written by process {holder.pid} on {host} (last "
            f"seen {ago:.0f} s ago): wait for it or stop it; if it is dead already, the output is "
            f"free {self.expires_s:.0f} s after that"
        )
