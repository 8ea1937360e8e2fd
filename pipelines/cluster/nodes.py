"""Asks every node of the cluster something, by one small task each."""

from collections.abc import Callable, Collection
from typing import Any, TypeVar

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

Answer = TypeVar("Answer")
_PATIENCE_S = 60.0  # a cold worker process starts in some seconds; a node that is silent is let be


def others() -> list[dict[str, Any]]:
    """The nodes with cores, but for the one that this process is on."""
    own = ray.get_runtime_context().get_node_id()
    nodes: list[dict[str, Any]] = ray.nodes()
    return [n for n in nodes if n["Alive"] and n["NodeID"] != own and n["Resources"].get("CPU")]


def ask_others(question: Callable[..., Answer], *arguments: Any) -> list[tuple[str, Answer]]:
    """What `question(*arguments)` is on each of `others`: its address, and its answer.

    A node that left, or that says nothing for a minute, is left out.
    """
    task: Any = ray.remote(num_cpus=0, max_retries=0)(question)
    asked: dict[Any, str] = {}
    for node in others():
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asked[task.options(scheduling_strategy=there).remote(*arguments)] = node[
            "NodeManagerAddress"
        ]
    if not asked:
        return []
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_PATIENCE_S)
    answers = list[tuple[str, Answer]]()
    for ref in answered:
        try:
            answers.append((asked[ref], ray.get(ref)))
        except ray.exceptions.RayError:  # it left meanwhile
            continue
    return answers


def has_cores_beside(avoided: Collection[str]) -> bool:
    """Whether there is a node with cores that is none of `avoided`, by Ray's ids."""
    return any(
        node["Alive"] and node["Resources"].get("CPU") and node["NodeID"] not in avoided
        for node in ray.nodes()
    )


def beside(avoided: Collection[str]) -> dict[str, Any]:
    """Options of a task or an actor that Ray is to place on none of these nodes."""
    if not avoided:
        return {}
    return {"label_selector": {"ray.io/node-id": f"!in({','.join(avoided)})"}}
