"""Small actors that a driver talks with."""

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


def start_on_driver_node(actor: Any) -> Any:
    """Start an actor on this driver's own node: lost with another node, it would end the run.

    Args:
        actor: a class made by `ray.remote`, whose constructor needs nothing.
    """
    driver_node = ray.get_runtime_context().get_node_id()
    strategy = NodeAffinitySchedulingStrategy(driver_node, soft=False)
    return actor.options(scheduling_strategy=strategy).remote()
