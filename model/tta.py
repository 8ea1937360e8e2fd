"""Test-time views: a network's outputs averaged over crops and mirror images of an image.

Levi & Hassner 2015 (3.3) test with one centre crop, or with the mean of the softmax over five crops
and their mirror images; for networks that take the whole image the mirror image alone helps.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from model.bundle import Bundle
from model.errors import UsageError

Views = Literal[1, 2, 10]


def require_crop(bundle: Bundle, views: Views) -> None:
    """Refuse ten views of a network that takes the whole image.

    Raises:
        UsageError: there is nothing to crop.
    """
    if views == 10 and _crop(bundle) is None:
        raise UsageError(
            f"`tta` 10 takes five crops, and {bundle.name} takes whole images: choose 1 or 2"
        )


def averaged(
    network: Callable[[Any], dict[str, Any]], bundle: Bundle, views: Views
) -> Callable[[Any], dict[str, Any]]:
    """The network with each output averaged over the views.

    Args:
        network: uint8 (n, height, width, channels) -> head name -> (n, width), activated.
        bundle: whose network it is.
        views: 1, the image; 2, with its mirror image; 10, the four corner crops and the centre
            crop, each with its mirror image.

    Raises:
        UsageError: ten views of a network that takes the whole image.
    """
    require_crop(bundle, views)
    if views == 1:
        return network

    def mean_outputs(pixels: Any) -> dict[str, Any]:
        outputs = [network(view) for view in _views(pixels, views, _crop(bundle))]
        return {name: sum(output[name] for output in outputs) / views for name in outputs[0]}

    return mean_outputs


def _crop(bundle: Bundle) -> int | None:
    """Side of the centre crop that the network itself takes, pixels."""
    return bundle.record.get("recipe", {}).get("network", {}).get("crop")


def _views(pixels: Any, views: Views, crop: int | None) -> Iterator[Any]:
    """Images of the same shape whose centre crops are the views."""
    mirrored = pixels[:, :, ::-1]
    if views == 2 or crop is None:
        yield from (pixels, mirrored)
        return
    down, right = pixels.shape[1] - crop, pixels.shape[2] - crop
    for top, left in ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)):
        yield _moved(pixels, down // 2 - top, right // 2 - left)
        yield _moved(mirrored, down // 2 - top, right // 2 - (right - left))


def _moved(pixels: Any, down: int, right: int) -> Any:
    """Roll the images; what comes in at the other edge lies outside of the centre crop."""
    if isinstance(pixels, np.ndarray):
        return np.roll(pixels, (down, right), axis=(1, 2))
    from keras import ops  # here: OpenVINO, and whoever only checks an argument, need no TensorFlow

    return ops.roll(ops.roll(pixels, down, axis=1), right, axis=2)
