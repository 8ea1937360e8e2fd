"""The weights that a training begins with, where these are not random."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from model.bundle import NETWORK_FILE, RECORD_FILE, load_network
from model.errors import UsageError
from model.recipes import Recipe
from pipelines import storage
from pipelines.bundles.opening import open_bundle
from pipelines.storage import tables
from pipelines.storage.claims import differences
from pipelines.training import checkpoints, layout
from pipelines.training.checkpoints import Arrays
from pipelines.training.options import CrossValidation

SAMPLE = 512  # images that give batch norm its statistics


@dataclasses.dataclass(frozen=True)
class Start:
    """Weights to begin with: where they are and the SHA-256 of their file.

    Attributes:
        weights: weights.npz of a run's output, or the URI of a bundle or of a run with folds.
        sha256: of that, of the bundle's network, or of the sums of all parts.
        training: how it was trained, as its bundle says; of a run with folds, its first fold.
        bundle_id: of the bundle that they are taken of; None where they are a run's.
        seen: which images they have learned from, as the bundle says.
        parts: of a run with folds, by the name of each training's folder.
    """

    weights: str
    sha256: str
    training: Mapping[str, Any]
    bundle_id: str | None = None
    seen: Mapping[str, Any] | None = None
    parts: Mapping[str, "Start"] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called in a command to be repeated elsewhere."""
        return f"BUNDLE-{self.bundle_id}" if self.bundle_id else f"RUN-{self.sha256[:16]}"

    def of(self, part: str) -> "Start":
        """What one training of a run with folds begins with: its own, where these are such a run's.

        Args:
            part: the name of its folder.
        """
        return self.parts[part] if self.parts else self


def open_start(place: str, recipe: Recipe, cross_fitting: CrossValidation | None = None) -> Start:
    """The weights that an earlier run left, or those of a bundle.

    Args:
        place: output of a run, with or without folds, or a bundle.
        recipe: of the network that is to begin with them.
        cross_fitting: the folds of the new run, if it has any.

    Raises:
        UsageError: neither is there, it trained another network, or it has other folds.
    """
    if cross_fitting and cross_fitting.folds and storage.exists(_weights(place, layout.fold(0))):
        return _with_folds(place, recipe, cross_fitting)
    weights = _weights(place)
    is_bundle = storage.exists(storage.join(place, RECORD_FILE))
    folder = place if is_bundle else storage.join(place, layout.BUNDLE)
    if not is_bundle and not (
        storage.exists(weights) and storage.exists(storage.join(folder, RECORD_FILE))
    ):
        raise UsageError(
            f"`start_from` {place} holds neither {layout.WEIGHTS} nor {RECORD_FILE}: give the "
            "`output` of a finished training, or a bundle"
        )
    record = tables.read_json(storage.join(folder, RECORD_FILE))
    theirs = record["recipe"]
    ours = tables.plain(recipe.to_json())
    parts = ("network", "heads")
    changed = differences({p: theirs[p] for p in parts}, {p: ours[p] for p in parts})
    if theirs["input"]["color"] != ours["input"]["color"]:
        changed.append(f"input.color was {theirs['input']['color']!r}")
    if changed:
        raise UsageError(
            f"`start_from` {place} trained another network ({'; '.join(changed)}): give a run "
            f"with the network and heads of {recipe.name}"
        )
    if is_bundle:
        network = record["files"][NETWORK_FILE]
        return Start(place, network, record["training"], record["bundle_id"], record.get("seen"))
    sha256 = hashlib.sha256(storage.read_bytes(weights)).hexdigest()
    return Start(weights, sha256, record["training"], seen=record.get("seen"))


def _with_folds(place: str, recipe: Recipe, cross_fitting: CrossValidation) -> Start:
    """Each training's own weights of a run with as many folds.

    Raises:
        UsageError: it has another number of them, or one is not done.
    """
    count = cross_fitting.folds or 0
    if storage.exists(_weights(place, layout.fold(count))) or not storage.exists(
        _weights(place, layout.fold(count - 1))
    ):
        raise UsageError(
            f"`start_from` {place} does not have {count} finished folds: give the `output` of "
            "jobs.cross_validate with as many `folds`, or leave `start_from` out"
        )
    names = [layout.fold(index) for index in range(count)]
    if cross_fitting.final:
        if not storage.exists(_weights(place, layout.FINAL)):
            raise UsageError(
                f"`start_from` {place} has no final network for `final` to start from: run it with "
                "`final` first"
            )
        names.append(layout.FINAL)
    parts = {name: open_start(storage.join(place, name), recipe) for name in names}
    # The same for a run that asks for the final network and one that does not, or not yet.
    sums = "".join(parts[name].sha256 for name in names[:count])
    first = parts[names[0]]
    sha256 = hashlib.sha256(sums.encode()).hexdigest()
    return Start(place, sha256, first.training, parts=parts)


def _weights(*place: str) -> str:
    return storage.join(*place, layout.WEIGHTS)


def starting_weights(uri: str, recipe: Recipe, pixels: npt.NDArray[np.uint8], seed: int) -> Arrays:
    """The arrays of a weights.npz, or those of a bundle, in the order of `network.set_weights`.

    Args:
        uri: of either.
        recipe: whose network is to begin with them.
        pixels: uint8 (n, height, width, channels) of the train split, `SAMPLE` of them.
        seed: of what a bundle has not: heads that were left out of it.
    """
    if uri.endswith(".npz"):
        return checkpoints.unpacked(storage.read_bytes(uri))
    import keras

    from model.networks import build_network, unfolded

    keras.utils.set_random_seed(seed)
    network: Any = build_network(recipe.network, recipe.input.shape, recipe.heads)
    unfolded(load_network(open_bundle(uri)), network, pixels)
    return network.get_weights()
