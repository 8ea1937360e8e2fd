"""Bundles that a network learns from, and their outputs for the images that it is shown."""

from collections.abc import Mapping, Sequence
from typing import Any

from model.bundle import Bundle


class Teachers:
    """Several bundles' mean answer to the very same images (function matching, Beyer 2022).

    They see them as sharp as they were: see `augmentation.augment_for_teachers`.
    """

    def __init__(self, bundles: Sequence[Bundle], precision: str) -> None:
        """Load their networks.

        Args:
            bundles: the teachers; there may be none.
            precision: that they compute in.
        """
        from model.bundle import load_network

        self.networks: list[Any] = [load_network(bundle, precision) for bundle in bundles]

    def __call__(self, images: Any) -> dict[str, Any]:
        """Head name -> float32 (batch, width), the mean of the teachers that have that head.

        Args:
            images: uint8 (batch, height, width, channels); each teacher sees them in its own size.
        """
        from model.augmentation import resized

        outputs = [
            teacher(resized(images, *teacher.input_shape[1:3]), training=False)
            for teacher in self.networks
        ]
        by_head = {
            name: [output[name] for output in outputs if name in output]
            for output in outputs
            for name in output
        }
        return {name: sum(values) / len(values) for name, values in by_head.items()}


def with_stored(said: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """What teachers say of a batch, together with answers that were stored before.

    Args:
        said: head name -> float32 (batch, width), of `Teachers`.
        stored: the same; NaN where there is none.

    Returns:
        Head name -> the mean of both, or the one that there is; NaN where there is none.
    """
    from keras import ops

    both = dict(said)
    for name, values in stored.items():
        if name in said:
            mean = (said[name] + values) / 2.0
            values = ops.where(ops.isnan(values), said[name], mean)
        both[name] = values
    return both
