"""The layers of a bundle's network and where a drawing puts them, read without TensorFlow."""

import json
import zipfile
from collections.abc import Sequence
from typing import Any

from model.bundle import NETWORK_FILE, Bundle


def layers_of(bundle: Bundle) -> list[tuple[object, ...]]:
    """(name, kind, shape, inputs) of every layer, read from the archive without TensorFlow."""
    with zipfile.ZipFile(bundle.folder / NETWORK_FILE) as archive:
        config = json.loads(archive.read("config.json"))
    found: list[tuple[object, ...]] = []
    for layer in config["config"]["layers"]:
        settings = layer["config"]
        size = next(
            (
                settings[k]
                for k in ("filters", "units", "pool_size", "rate", "batch_shape")
                if k in settings
            ),
            "",
        )
        sources = ", ".join(dict.fromkeys(_sources(layer.get("inbound_nodes", []))))
        found.append((layer["name"], layer["class_name"], size, sources))
    return found


def _sources(value: Any) -> list[str]:
    """Names of the layers whose outputs a layer takes."""
    if isinstance(value, dict):
        parts: dict[str, Any] = value
        history: Any = parts.get("keras_history")
        return [history[0]] if history else _sources(list(parts.values()))
    return [name for item in value for name in _sources(item)] if isinstance(value, list) else []


def layout(
    layers: Sequence[tuple[object, ...]],
) -> tuple[dict[str, int], dict[str, tuple[float, float]]]:
    """Depth of every layer below the input, and its place: x in 0-1, y in depths."""
    depth: dict[str, int] = {}
    for name, _, _, sources in layers:
        before = [depth[source] for source in str(sources).split(", ") if source in depth]
        depth[str(name)] = 1 + max(before, default=-1)
    at: dict[str, tuple[float, float]] = {}
    for level in range(max(depth.values()) + 1):
        names = [name for name, found in depth.items() if found == level]
        for i, name in enumerate(names):
            at[name] = (i + 0.5) / len(names), level + 0.5
    return depth, at
