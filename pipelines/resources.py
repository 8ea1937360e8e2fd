"""What the cluster has, what may still come, and a clear word where neither will do.

Ray waits for ever for what nobody will bring. So what a job cannot do without is held against what
the nodes have and what the autoscaler may still start; if neither will do, the job ends.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ray

from model.errors import ResourcesError
from pipelines.patience import seconds

_PAUSE_S = 0.5

Resources = Mapping[str, float]


@dataclass(frozen=True)
class Ask:
    """`workers` workers, each with `each` on one node; 0 of something asks for none of it."""

    each: Resources
    workers: int = 1

    def text(self) -> str:
        """What is asked, for people."""
        many = f"{self.workers} workers of {_words(self.each)} each"
        return many if self.workers > 1 else f"a worker of {_words(self.each)}"


@dataclass(frozen=True)
class Supply:
    """What the cluster has and could have.

    Attributes:
        nodes: all resources of each node that is alive, used or not.
        types: all resources of a node type the autoscaler may start, and how many; -1 is any.
    """

    nodes: tuple[Resources, ...]
    types: tuple[tuple[Resources, int], ...] = ()

    def room(self, each: Resources) -> int:
        """How many workers of `each` the nodes that are alive hold, were they empty."""
        return sum(_fits(node, each) for node in self.nodes)

    def room_one_day(self, each: Resources) -> int:
        """How many at most, once the autoscaler has started all it may."""
        started = sum(_fits(node, each) * (10**6 if n < 0 else n) for node, n in self.types)
        return max(started, self.room(each))

    def text(self) -> str:
        """What there is, for people."""
        nodes = ", ".join(_words(node) for node in self.nodes)
        may = ", ".join(f"{'any number' if n < 0 else n} of {_words(r)}" for r, n in self.types)
        started = f"its autoscaler may start {may}" if may else "no autoscaler starts more"
        whose = f"{len(self.nodes)} nodes have" if len(self.nodes) != 1 else "only node has"
        return f"the cluster's {whose} {nodes}; {started}"


def _fits(node: Resources, each: Resources) -> int:
    counts = [node.get(name, 0.0) / value for name, value in each.items() if value > 0]
    return int(min(counts) + 1e-9)  # 0.3 / 0.1 is 2.99…


def _words(resources: Resources) -> str:
    found = {name: resources.get(name, 0.0) for name in ("CPU", "GPU")}
    shown = [f"{value:g} {name}" for name, value in found.items() if value]
    return " and ".join(shown) or "0 CPU"


def supply() -> Supply:
    """What the cluster that Ray is connected to has and could have."""
    alive = tuple(node["Resources"] for node in ray.nodes() if node["Alive"])
    types: list[tuple[Resources, int]] = []
    with contextlib.suppress(Exception):  # Ray has no public word for it; ray.data asks like this
        import ray._private.state as state

        config: Any = state.state.get_cluster_config()
        for group in config.node_group_configs if config else ():
            resources = dict(group.resources)
            if group.max_count and (resources.get("CPU") or resources.get("GPU")):
                types.append((resources, int(group.max_count)))
    return Supply(alive, tuple(types))


def cores_a_worker(workers: int, gpus: float, look: Callable[[], Supply] = supply) -> int:
    """The most cores that each of `workers` workers can have on the nodes that are alive.

    Or, where these do not hold them, on the nodes that the autoscaler may start; 1 at least.
    """
    found = look()
    nodes = [*found.nodes, *(resources for resources, _ in found.types)]
    most = int(max((node.get("CPU", 0.0) for node in nodes), default=0.0))
    for room in (found.room, found.room_one_day):
        for cores in range(most, 0, -1):
            if room({"CPU": cores, "GPU": gpus}) >= workers:
                return cores
    return 1


def require(ask: Ask, look: Callable[[], Supply] = supply) -> None:
    """Return once the nodes hold what is asked, or as soon as the autoscaler may bring it.

    Whether others use it at the moment is left to Ray: what is in use comes free.

    Raises:
        ResourcesError: after FACEMILL_PATIENCE_S (30) neither is so.
    """
    patience_s = seconds("FACEMILL_PATIENCE_S", 30)  # a joining node takes seconds
    deadline = time.monotonic() + patience_s
    while (found := look()).room(ask.each) < ask.workers:
        if found.room_one_day(ask.each) >= ask.workers:
            # The autoscaler moves once work is pending, so do not wait for it here.
            print(f"waiting for {ask.text()}: {found.text()}", file=sys.stderr, flush=True)
            return
        if time.monotonic() >= deadline:
            raise ResourcesError(
                f"this job asks for {ask.text()}, but {found.text()}. Waited {patience_s:g} s: add "
                "nodes or ask for less; `ray status` says what keeps nodes away"
            )
        time.sleep(_PAUSE_S)
