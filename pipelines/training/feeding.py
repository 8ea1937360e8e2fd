"""What a training worker is fed: its part of every global batch, read ahead by one thread.

Order and random numbers are functions of (seed, epoch, image): every rank computes the same ones
and takes its slice, so the number of workers changes nothing of what an image goes through.
"""

import dataclasses
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.images.pixel_cache import PixelFile

Floats = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Split:
    """One split, ready for the network.

    Attributes:
        pixels: the decoded images.
        rows: int64 (n,), the file's rows that are used.
        targets: head name -> float32 (n, 1), or (n, 2) where ages are ranges, as
            `heads.encode_target` makes them; NaN where unlabelled.
        weights: float32 (n,), weight of each example in the loss; 1 on the average.
        taught: head name -> float32 (n, width), what other networks have said of it; may be empty.
    """

    pixels: PixelFile
    rows: npt.NDArray[np.int64]
    targets: Mapping[str, Floats]
    weights: Floats
    taught: Mapping[str, Floats] = dataclasses.field(default_factory=dict)

    def empty(self) -> "Split":
        """The same without examples: the val split of a training that keeps its last epoch."""
        targets = {name: values[:0] for name, values in self.targets.items()}
        return Split(self.pixels, self.rows[:0], targets, self.weights[:0])


@dataclasses.dataclass(frozen=True)
class Batch:
    """pixels uint8 (n, h, w, c), draws float32 (n, 24), weights (n,); the rest as in `Split`."""

    pixels: npt.NDArray[np.uint8]
    draws: Floats
    targets: Mapping[str, Floats]
    weights: Floats
    taught: Mapping[str, Floats]


def epoch_order(seed: int, epoch: int, count: int) -> npt.NDArray[np.int64]:
    """The order of one epoch, the same on every rank."""
    return np.random.default_rng([seed, epoch, 1]).permutation(count)


def places_of(batch: int, rank: int, workers: int, micro_batches: int = 1) -> npt.NDArray[np.int64]:
    """Where in a global batch `rank`'s images stand: its part of each micro-batch in turn.

    Micro-batches are cut from the global batch, so which images share one does not depend on the
    number of workers. Parts are equal where they divide and differ by one where not.
    """
    size = batch // micro_batches
    part = np.arange(rank * size // workers, (rank + 1) * size // workers)
    return np.concatenate([k * size + part for k in range(micro_batches)])


class Feed:
    """A split in memory or in a mapped file, given out batch by batch.

    Attributes:
        waited_s: time that the caller of `epoch` has waited for a batch.
    """

    def __init__(self, split: Split) -> None:
        """Open the file, on this node."""
        self.split, self.pixels = split, split.pixels.open()
        self.waited_s = 0.0

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.split.rows)

    def take(self, index: npt.NDArray[np.int64], draws: Floats | None = None) -> Batch:
        """The examples `index`, with their rows of `draws`."""
        split = self.split
        return Batch(
            np.asarray(self.pixels[split.rows[index]]),
            draws[index] if draws is not None else np.empty((len(index), 0), np.float32),
            {name: values[index] for name, values in split.targets.items()},
            split.weights[index],
            {name: values[index] for name, values in split.taught.items()},
        )

    def epoch(
        self,
        seed: int,
        epoch: int,
        batch: int,
        places: npt.NDArray[np.int64],
        first_step: int = 0,
    ) -> Iterator[Batch]:
        """This worker's part of every whole batch of an epoch, from `first_step` on.

        Args:
            seed: of the run.
            epoch: counted from 0.
            batch: images of the global batch.
            places: in each global batch, from `places_of`.
            first_step: 0, or where the epoch was interrupted.
        """
        from model.augmentation import draw

        order = epoch_order(seed, epoch, len(self))
        draws = draw(seed, epoch, len(self))
        steps = len(self) // batch

        def at(step: int) -> Batch:
            return self.take(order[step * batch + places], draws)

        with ThreadPoolExecutor(1, "feed") as reader:
            coming: Any = reader.submit(at, first_step) if first_step < steps else None
            for step in range(first_step, steps):
                started = time.monotonic()
                ready: Batch = coming.result()
                self.waited_s += time.monotonic() - started
                if step + 1 < steps:
                    coming = reader.submit(at, step + 1)
                yield ready
