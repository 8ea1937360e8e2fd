"""Whether all nodes of a cluster see a local file: rows would scatter over disks that are apart."""

import os
from collections.abc import Mapping
from typing import Any

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from model.errors import UsageError

_PATIENCE_S = 60.0  # a cold worker process starts in some seconds; a node that is silent is let be


def require_shared(files: Mapping[str, str]) -> None:
    """Look on every other node for files that this one has.

    Args:
        files: an option's name -> a local file that was given or made by it.

    Raises:
        UsageError: a node lacks one, or has another in its place.
    """
    own = ray.get_runtime_context().get_node_id()
    others = [
        node
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] != own and node["Resources"].get("CPU")
    ]
    marks = {path: _mark_of(path) for path in files.values()}
    asked: dict[Any, tuple[str, str]] = {}
    task: Any = ray.remote(num_cpus=0, max_retries=0)(_mark_of)
    for node in others:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        for name, path in files.items():
            ref = task.options(scheduling_strategy=there).remote(path)
            asked[ref] = (name, node["NodeManagerAddress"])
    if not asked:
        return
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_PATIENCE_S)
    for ref in answered:
        name, address = asked[ref]
        try:
            mark: Any = ray.get(ref)
        except ray.exceptions.RayError:  # it left meanwhile
            continue
        if mark != marks[files[name]]:
            raise UsageError(
                f"`{name}` is a local path, and node {address} does not see {files[name]} as this "
                "one does: give an s3:// prefix, or a folder that all nodes share"
            )


def _mark_of(path: str) -> tuple[int, int] | None:
    """Size and time of a file, the same wherever its disk is mounted; None where it is not."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, int(status.st_mtime)
