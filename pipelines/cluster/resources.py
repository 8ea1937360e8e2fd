"""Checks that the cluster has, or its autoscaler brings, what a job cannot do without.

Ray waits without end for resources that nobody adds. So a job asks at its start for what it cannot
do without, by a placement group that waits, which is what an autoscaler acts on; where no node is
coming, the job ends.
"""

import contextlib
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import ray

from model.errors import ResourcesError
from pipelines.cluster.private import nodes_coming
from pipelines.environment import seconds
from pipelines.telemetry.log import note

_PAUSE_S = 0.5
_NOTE_EVERY_S = 60.0

Resources = Mapping[str, float]


@dataclass(frozen=True)
class ResourceRequest:
    """`workers` workers, each with `each` on one node; 0 of something asks for none of it."""

    each: Resources
    workers: int = 1

    def text(self) -> str:
        """What is asked, for people."""
        many = f"{self.workers} workers of {_words(self.each)} each"
        return many if self.workers > 1 else f"a worker of {_words(self.each)}"


@dataclass(frozen=True)
class Capacity:
    """What the cluster has and what comes.

    Attributes:
        nodes: all resources of each node that is alive, used or not.
        coming: nodes that an autoscaler has ordered and that have not joined yet.
    """

    nodes: tuple[Resources, ...]
    coming: int = 0

    def room(self, each: Resources) -> int:
        """How many workers of `each` the nodes that are alive hold, were they empty."""
        return sum(_fits(node, each) for node in self.nodes)

    def text(self) -> str:
        """What there is, for people."""
        nodes = ", ".join(_words(node) for node in self.nodes)
        whose = f"{len(self.nodes)} nodes have" if len(self.nodes) != 1 else "only node has"
        more = {0: "no more are being started", 1: "one more is being started"}
        coming = more.get(self.coming, f"{self.coming} more are being started")
        return f"the cluster's {whose} {nodes}; {coming}"


def _fits(node: Resources, each: Resources) -> int:
    counts = [node.get(name, 0.0) / value for name, value in each.items() if value > 0]
    return int(min(counts) + 1e-9)  # 0.3 / 0.1 is 2.99…


def _words(resources: Resources) -> str:
    amounts = {name: resources.get(name, 0.0) for name in ("CPU", "GPU")}
    shown = [f"{value:g} {name}" for name, value in amounts.items() if value]
    return " and ".join(shown) or "0 CPU"


def supply() -> Capacity:
    """What the cluster that Ray is connected to has, and what comes."""
    alive = tuple(node["Resources"] for node in ray.nodes() if node["Alive"])
    with contextlib.suppress(Exception):  # no autoscaler runs
        return Capacity(alive, nodes_coming())
    return Capacity(alive)


def cores_a_worker(workers: int, gpus: float, look: Callable[[], Capacity] = supply) -> int:
    """The most cores that each of `workers` workers can have on the nodes; 0 if none holds them."""
    cluster = look()
    most = int(max((node.get("CPU", 0.0) for node in cluster.nodes), default=0.0))
    for cores in range(most, 0, -1):
        if cluster.room({"CPU": cores, "GPU": gpus}) >= workers:
            return cores
    return 0


@contextlib.contextmanager
def wanted(ask: ResourceRequest) -> Generator[None]:
    """Meanwhile the cluster is asked for it, so that an autoscaler starts nodes for it."""
    from ray.util.placement_group import placement_group, remove_placement_group

    each = {name: float(value) for name, value in ask.each.items() if value > 0}
    group = placement_group([each] * ask.workers)
    try:
        yield
    finally:
        remove_placement_group(group)


def require(
    ask: ResourceRequest,
    look: Callable[[], Capacity] = supply,
    want: Callable[[ResourceRequest], AbstractContextManager[None]] = wanted,
) -> None:
    """Return once the nodes, were they empty, hold what is asked; an autoscaler may bring them.

    Whether others use it at the moment is left to Ray: what is in use comes free.

    Raises:
        ResourcesError: there is no room, and for FACEMILL_PATIENCE_S (30) no node was coming.
    """
    if look().room(ask.each) >= ask.workers:
        return
    patience_s = seconds("FACEMILL_PATIENCE_S", 30)  # an autoscaler looks every 5 s
    with want(ask):
        began = time.monotonic()
        deadline, next_note = began + patience_s, began
        while (cluster := look()).room(ask.each) < ask.workers:
            now = time.monotonic()
            if cluster.coming:
                deadline = now + patience_s
                if now >= next_note:
                    next_note = now + _NOTE_EVERY_S
                    after = f" ({now - began:.0f} s)" if now - began > _NOTE_EVERY_S / 2 else ""
                    text = f"waiting for {ask.text()}{after}: {cluster.text()}"
                    note(text)
            elif now >= deadline:
                raise ResourcesError(
                    f"this job asks for {ask.text()}, but {cluster.text()}. "
                    f"Waited {patience_s:g} s: add nodes or ask for less; `ray status` shows why "
                    "no node comes"
                )
            time.sleep(_PAUSE_S)
