"""The layers of a bundle's network and their connections, read without TensorFlow."""

import dataclasses
from typing import Any

from model.bundle import NETWORK_FILE, Bundle, read_architecture
from model.errors import BundleError

_SIZES = ("filters", "units", "pool_size", "rate", "batch_shape")  # what a layer calls its size


@dataclasses.dataclass(frozen=True)
class Layer:
    """A layer: its name, its Keras class, its size as text, and the layers whose output it takes.

    The size is what tells layers of a kind apart: filters, units, a pool's `2×2`, a dropout's rate,
    an input's shape; empty where there is none.
    """

    name: str
    kind: str
    size: str
    sources: tuple[str, ...]


def layers_of(bundle: Bundle) -> list[Layer]:
    """Every layer of the network, sources before those that take them.

    Raises:
        BundleError: the network's archive is damaged.
    """
    config = read_architecture(bundle)
    try:
        return [
            Layer(
                layer["name"],
                layer["class_name"],
                _size(layer["config"]),
                tuple(dict.fromkeys(_sources(layer.get("inbound_nodes", [])))),
            )
            for layer in config["config"]["layers"]
        ]
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        path = bundle.folder / NETWORK_FILE
        raise BundleError(f"{path} describes no layers ({error}): copy it again") from None


def _size(settings: dict[str, Any]) -> str:
    size = next((settings[name] for name in _SIZES if name in settings), "")
    if isinstance(size, list):
        known: list[Any] = [side for side in size if side is not None]  # pyright: ignore
        return "×".join(map(str, known))  # the batch has no size
    return str(size)


def _sources(value: Any) -> list[str]:
    """Names of the layers whose outputs a layer takes."""
    if isinstance(value, dict):
        parts: dict[str, Any] = value
        history: Any = parts.get("keras_history")
        return [history[0]] if history else _sources(list(parts.values()))
    return [name for item in value for name in _sources(item)] if isinstance(value, list) else []
