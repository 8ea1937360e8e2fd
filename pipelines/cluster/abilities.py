"""What the machines that will compute have in common."""

from typing import Any

import ray

from model.backends.selection import abilities
from pipelines.cluster.nodes import ask_others


def of_workers() -> frozenset[str]:
    """The `abilities` of all nodes with cores; of this machine where no Ray is started.

    A cluster that has none yet brings one up for the question.
    """
    if not ray.is_initialized():
        return abilities()
    here = ray.get_runtime_context().get_node_id()
    mine = next(node for node in ray.nodes() if node["NodeID"] == here)
    answers = [answer for _, answer in ask_others(abilities)]
    if mine["Resources"].get("CPU"):
        answers.append(abilities())
    if not answers:
        task: Any = ray.remote(num_cpus=1)(abilities)
        answers.append(ray.get(task.remote()))
    return frozenset.intersection(*answers)
