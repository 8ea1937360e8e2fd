"""Small trainings that several tests look at."""

import dataclasses
from pathlib import Path
from typing import Any

from model.bundle import Bundle, read_bundle
from model.presets import preset
from model.recipes import Recipe
from pipelines.training.job import TrainingJob
from pipelines.training.plan import Trained


def small_recipe(epochs: int = 2, **changes: Any) -> Recipe:
    """The demo's, in batches of 8."""
    small = dataclasses.replace(preset("demo"), epochs=epochs, global_batch_size=8)
    return dataclasses.replace(small, **changes)


@dataclasses.dataclass(frozen=True)
class Finished:
    """A training that is over, and what it printed on stderr."""

    options: TrainingJob
    result: Trained
    stderr: str = ""

    @property
    def bundle(self) -> Bundle:
        """Of its network."""
        return read_bundle(Path(self.result.bundle_uri))
