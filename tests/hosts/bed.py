"""Hosts on one machine: network namespaces on a bridge, each with its address and disk.

A host is a network namespace with a cable (veth) to a switch (a bridge), /tmp and $HOME of its own,
and as much disk as is asked for. Faults are the kernel's own: nftables drops packets, in one
direction or both, all or by chance; tbf makes a cable slow.
It needs root, `ip` and `nft`; `why_not` says what is missing.
"""

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Mapping
from pathlib import Path

_numbers = itertools.count(1)


def why_not() -> str:
    """Why there can be no hosts here, or ''."""
    if os.geteuid() != 0:
        return "needs root: a host is a network namespace"
    missing = [tool for tool in ("ip", "nft", "tc", "unshare") if not shutil.which(tool)]
    if missing:
        return f"needs {', '.join(missing)}: apt-get install iproute2 nftables util-linux"
    if Path(__file__).is_relative_to("/tmp"):
        return "this checkout lies in /tmp, of which each host has its own: put it elsewhere"
    trial = f"fm-try-{os.getpid()}"
    if _do("ip", "netns", "add", trial, check=False).returncode:
        return "needs a kernel that gives network namespaces"
    _do("ip", "netns", "delete", trial)
    return ""


def _do(*command: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done


class Host:
    """One of them.

    Attributes:
        name: of the host, and of its network namespace.
        address: IPv4 on the switch.
        disk: what it has as /tmp and $HOME.
    """

    def __init__(self, name: str, address: str, cable: str, disk: Path, disk_bytes: int) -> None:
        """Remember what `Bed.host` has made."""
        self.name, self.address, self.cable, self.disk = name, address, cable, disk
        self.disk_bytes = disk_bytes

    def command(self, *command: str) -> list[str]:
        """A command line that runs a command on this host."""
        size = f"size={self.disk_bytes}" if self.disk_bytes else ""
        source = f"-t tmpfs -o {size} none" if size else f'--bind "{self.disk}/tmp"'
        # Mounted once a command, so a small disk is small for all of it but not shared: a host
        # with one should run one command, as `ray start --block` is.
        script = f'mount {source} /tmp && exec "$@"'
        return [
            "ip", "netns", "exec", self.name, "unshare", "--mount", "--uts",
            "sh", "-c", f"hostname {self.name} && {script}", "sh", *command,
        ]  # fmt: skip

    def env(self, env: Mapping[str, str]) -> dict[str, str]:
        """An environment as it is on this host."""
        return {**env, "HOME": str(self.disk / "home"), "TMPDIR": "/tmp"}

    def popen(
        self, *command: str, env: Mapping[str, str], log: Path, cwd: Path
    ) -> "subprocess.Popen[bytes]":
        """Start a command on this host, its output in `log`."""
        with log.open("ab") as file:
            return subprocess.Popen(
                self.command(*command), env=self.env(env), stdin=subprocess.DEVNULL,
                stdout=file, stderr=file, cwd=cwd,
            )  # fmt: skip

    # Faults. They add up until `heal`.

    def drop_from(self, *others: "Host", share: float = 1.0) -> None:
        """Lose what comes from these hosts, or from all: every packet, or a share by chance."""
        self._drop("input", "saddr", others, share)

    def drop_to(self, *others: "Host", share: float = 1.0) -> None:
        """Lose what goes to these hosts, or to all."""
        self._drop("output", "daddr", others, share)

    def cut(self, *others: "Host") -> None:
        """Lose both: a network that is gone without a word, as when a switch dies."""
        self.drop_from(*others)
        self.drop_to(*others)

    def slow(self, rate: str) -> None:
        """Send no faster than a rate such as `1mbit`, here and to here."""
        for inside, device in ((True, "eth0"), (False, self.cable)):
            within = ("ip", "netns", "exec", self.name) if inside else ()
            _do(
                *within, "tc", "qdisc", "replace", "dev", device, "root", "tbf", "rate", rate,
                "burst", "32kbit", "latency", "400ms",
            )  # fmt: skip

    def heal(self) -> None:
        """End all faults of the network."""
        self._nft("flush ruleset")
        for within, device in ((("ip", "netns", "exec", self.name), "eth0"), ((), self.cable)):
            _do(*within, "tc", "qdisc", "delete", "dev", device, "root", check=False)

    def _drop(self, hook: str, side: str, others: tuple["Host", ...], share: float) -> None:
        chain = f"fm_{hook}"
        self._nft("add table inet fm")
        self._nft(f"add chain inet fm {chain} {{ type filter hook {hook} priority 0; }}")
        chance = "" if share >= 1 else f"numgen random mod 1000 < {round(share * 1000)} "
        for other in others or (None,):
            which = f"ip {side} {other.address} " if other else 'meta oifname "eth0" '
            if other is None and hook == "input":
                which = 'meta iifname "eth0" '
            self._nft(f"add rule inet fm {chain} {which}{chance}drop")

    def _nft(self, statement: str) -> None:
        _do("ip", "netns", "exec", self.name, "nft", statement)

    def is_mine(self, pid: int) -> bool:
        """Whether a process runs in this host's network."""
        with contextlib.suppress(OSError):
            here = os.stat(f"/run/netns/{self.name}").st_ino
            return os.stat(f"/proc/{pid}/ns/net").st_ino == here
        return False

    def pids(self) -> list[int]:
        """All processes of this host."""
        every = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [pid for pid in every if self.is_mine(pid)]

    def kill(self) -> None:
        """SIGKILL everything on it, as when its power fails."""
        for _ in range(3):
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)


class Bed:
    """A switch and its hosts; this process is on the switch too, at `.1`."""

    def __init__(self) -> None:
        """Lay the switch."""
        number = os.getpid() % 200 + next(_numbers)
        self._id = f"{os.getpid() % 10000}x{number}"
        self._net = f"10.{80 + number // 250}.{number % 250}"
        self._switch = f"fmb{self._id}"
        self.folder = Path(tempfile.mkdtemp(prefix="fm-bed-", dir="/var/tmp"))
        self.hosts: list[Host] = []
        _do("ip", "link", "add", self._switch, "type", "bridge")
        _do("ip", "address", "add", f"{self._net}.1/24", "dev", self._switch)
        _do("ip", "link", "set", self._switch, "up")

    def host(self, name: str, disk_bytes: int = 0) -> Host:
        """Add a host.

        Args:
            name: short.
            disk_bytes: how much its /tmp holds; 0: as much as there is.
        """
        number = len(self.hosts) + 2
        space, cable = f"{name}-{self._id}", f"fm{self._id}{number}"
        disk = self.folder / name
        for part in ("tmp", "home"):
            (disk / part).mkdir(parents=True)
        _do("ip", "netns", "add", space)
        _do("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
        _do("ip", "link", "set", cable, "master", self._switch, "up")
        host = Host(space, f"{self._net}.{number}", cable, disk, disk_bytes)
        for command in (
            f"address add {host.address}/24 dev eth0", "link set eth0 up", "link set lo up",
            f"route add default via {self._net}.1",
        ):  # fmt: skip
            _do("ip", "-netns", space, *command.split())
        self.hosts.append(host)
        return host

    def remove(self) -> None:
        """Kill all hosts and take everything down."""
        for host in self.hosts:
            host.kill()
            _do("ip", "netns", "delete", host.name, check=False)
            _do("ip", "link", "delete", host.cable, check=False)
        _do("ip", "link", "delete", self._switch, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def laid_bed() -> Generator[Bed]:
    """A bed that is gone afterwards."""
    bed = Bed()
    try:
        yield bed
    finally:
        bed.remove()
