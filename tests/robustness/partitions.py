"""What a scoring run does while hosts and networks fail: one fault after the other, each once.

    python -m tests.robustness.partitions [--only cut,loss] [--images 400]

Writes docs/robustness/partitions.md, or with --only those lines of it. Head, three workers of one
core and an S3 store are hosts of their own on this machine (tests/hosts/bed.py): network namespaces
with nftables and tbf. Needs root, `apt-get install nftables`, and half an hour.
"""

import argparse
import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

import pytest

from benchmarks.harness import ROOT
from model.runtime import machine
from tests.hosts.bed import Host, why_not
from tests.hosts.cluster import HostCluster, hosts_with_ray
from tests.hosts.runs import BUCKET, Outcome, ScoringRun, disturbed, put_images, rows_of

DOCUMENT = ROOT / "docs" / "robustness" / "partitions.md"
WORKERS, DISK_BYTES = 3, 800 << 20


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something that happens to a cluster in the midst of a run.

    Attributes:
        name: short.
        description: what happens, for the table.
        begin: makes it happen.
        hold_s: for how long.
    """

    name: str
    description: str
    begin: Callable[["Trial"], None]
    hold_s: float = 90.0


class Trial:
    """The cluster, mended after each fault, and an undisturbed run to compare with."""

    def __init__(self, cluster: HostCluster, images: str) -> None:
        """Score undisturbed."""
        self.cluster, self.images = cluster, images
        run = ScoringRun(cluster, images, f"s3://{BUCKET}/undisturbed")
        run.begin()
        began = time.monotonic()
        self.undisturbed = run.end(began, None)
        self.expected = rows_of(run.output)

    @property
    def worker(self) -> Host:
        """The host to which most of it happens: one that scores."""
        for node, host in self.cluster.host_of.items():
            if node.runs("ShardScorer"):
                return host
        return next(iter(self.cluster.host_of.values()))

    def of(self, fault: Fault) -> Outcome:
        """Have it happen, and mend the cluster."""
        output = f"s3://{BUCKET}/{fault.name}"
        try:
            return disturbed(
                self.cluster, self.images, output, self.expected,
                lambda: fault.begin(self), self.heal, fault.hold_s,
            )  # fmt: skip
        finally:
            self.mend()

    def heal(self) -> None:
        """Network and disks are well again; of what has ended only the head is started anew."""
        for host in self.cluster.bed.hosts:
            host.heal()
        self.cluster.free_disks()
        if self.cluster.head is None:
            self.mend()

    def mend(self) -> None:
        """A head and three workers, whatever has become of them."""
        cluster = self.cluster
        if cluster.head is None or cluster.head.has_ended():
            cluster.restart_head()
        self.heal()
        for node in list(cluster.workers):
            if node.has_ended():
                cluster.kill_node(node)
        living = {cluster.host_of[node].name for node in cluster.workers}
        for host in cluster.bed.hosts:
            if host.name.startswith("w") and host.name not in living:
                cluster.join(host)


def _cut_from_head(trial: Trial) -> None:
    trial.worker.cut(trial.cluster.head_host)


def _lossy(trial: Trial) -> None:
    for host in trial.cluster.bed.hosts:
        host.drop_from(share=0.02)


def _head_lost(trial: Trial) -> None:
    trial.cluster.lose_head()


FAULTS = (
    Fault("cut", "a worker is cut off from everything for 90 s", lambda t: t.worker.cut()),
    Fault("from-head", "a worker reaches the store and not the head, 90 s", _cut_from_head),
    Fault(
        "from-store", "a worker reaches the head and not the store, 90 s",
        lambda t: t.worker.cut(t.cluster.store_host),
    ),
    Fault(
        "one-way", "a worker hears nothing of the head, which hears it, 90 s",
        lambda t: t.worker.drop_from(t.cluster.head_host),
    ),
    Fault(
        "driver", "the head, where the driver runs, does not reach the store, 45 s",
        lambda t: t.cluster.head_host.cut(t.cluster.store_host), 45,
    ),
    Fault("store", "the store is cut off from all, 45 s", lambda t: t.cluster.store_host.cut(), 45),
    Fault("loss", "every host loses 2 % of what it is sent, 60 s", _lossy, 60),
    Fault("slow", "a worker has a link of 1 Mbit/s, 90 s", lambda t: t.worker.slow("1mbit")),
    Fault("disk", "a worker's disk is full, 60 s", lambda t: t.cluster.fill_disk(t.worker), 60),
    Fault("power", "a worker loses its power", lambda t: t.worker.kill(), 1),
    Fault("head", "the head dies with its disk; another takes its address", _head_lost, 1),
)  # fmt: skip


def main() -> None:
    """Try each and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="names of faults, with commas between")
    parser.add_argument("--images", type=int, default=400)
    arguments = parser.parse_args()
    if why := why_not():
        raise SystemExit(why)
    only = set(filter(None, arguments.only.split(",")))
    rows = _measured_before() if only else {}
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(hosts_with_ray(WORKERS, DISK_BYTES))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in cluster.store.env().items():
            patch.setenv(name, value)
        cluster.store.create_bucket(BUCKET)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        trial = Trial(cluster, put_images(folder / "faces", arguments.images))
        rows["nothing happens"] = line("nothing happens", trial.undisturbed)
        for fault in FAULTS:
            if not only or fault.name in only:
                rows[fault.description] = line(fault.description, trial.of(fault))
                print(rows[fault.description], flush=True)
                DOCUMENT.write_text(table(rows, arguments.images))


def _measured_before() -> dict[str, str]:
    """Lines of the table that is there, by what happened."""
    text = DOCUMENT.read_text() if DOCUMENT.exists() else ""
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    return {line.split(" | ")[0].removeprefix("| "): line for line in lines}


def line(description: str, outcome: Outcome) -> str:
    """Of the table."""
    right = "; ".join(outcome.problems) or "all right, none twice"
    printed = "<br>".join(outcome.printed).replace("|", "/") or "nothing"
    times = "once" if outcome.submissions == 1 else f"{outcome.submissions} times"
    return f"| {description} | {times} | {outcome.after_s:.0f} | {right} | {printed} |"


def table(rows: Mapping[str, str], images: int) -> str:
    """The document."""
    lines = [
        "# Faults of hosts and networks, in the midst of a scoring run",
        "",
        f"`python -m tests.robustness.partitions --images {images}`, {date.today():%Y-%m-%d}, "
        f"{machine()}, beside other work. {images} images in an S3 store, a head, three "
        "workers of one core, each a host of its own (network namespaces). Ray's own time-outs. "
        "Rows are compared with those of the undisturbed run, value for value, and the output is "
        "verified. Near 0 seconds: the others had done all of it before the fault was over.",
        "",
        "| what happens | command given | seconds from its end to the run's | rows | printed |",
        "|---|---:|---:|---|---|",
    ]
    order = ["nothing happens", *(fault.description for fault in FAULTS)]
    lines += [rows[description] for description in order if description in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
