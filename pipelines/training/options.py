"""The options of a training, declared once: for the command line, train.json and the code."""

import dataclasses
from typing import Annotated, ClassVar, Literal

from model import heads
from model.errors import UsageError
from model.precision import Precision
from model.presets import preset
from model.recipes import Recipe
from pipelines import storage

Balance = Literal["none", "age", "gender"]
Conflicts = Literal["drop", "median", "keep"]


@dataclasses.dataclass(frozen=True)
class Changes:
    """What to change of the preset."""

    epochs: int | None = None
    """Passes over the train split; default: the preset's."""
    global_batch_size: int | None = None
    """Images a step over all workers; default: the preset's."""
    learning_rate: float | None = None
    """Peak learning rate; default: the preset's."""
    clip_norm: float | None = None
    """Largest norm of a step's gradient over all workers; default: the preset's, none in ours."""
    age_head: Literal["preset", "groups"] = "preset"
    """groups: a softmax over 0-10, 11-20, … in place of the age in years (the seed's proposal)."""
    race_head: Literal["preset", "auxiliary", "kept"] = "preset"
    """auxiliary: learn UTKFace's five race labels for what they teach the network, and leave that
    head out of the bundle; kept: keep it. The labels are other people's guesses, and predicting
    them of a person is not a use we support: scoring writes no such column; see the model card."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            UsageError: one is too small.
        """
        _require_at_least_1(self, "epochs", "global_batch_size")
        for name in ("learning_rate", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"`{name}` {value:g} must be above 0")


@dataclasses.dataclass(frozen=True)
class Lessons:
    """What the network learns from."""

    conflicts: Conflicts = "drop"
    """Identical train images with contradicting labels: drop teaches nothing known to be wrong and
    costs about 2 % of UTKFace; median gives them the group's median; keep keeps them."""
    balance: Balance = "none"
    """Weigh train examples by the rarity of their decade of age or of their gender, up to 10:1."""
    teachers: Annotated[tuple[str, ...], "URI ..."] = ()
    """Bundles whose mean answer each augmented image is to be given, beside its label: several
    networks distilled into one. They must take the same colours; a size of their own is made."""
    start_from: Annotated[str | None, "URI"] = None
    """Output of a finished run to begin with in place of random weights, to train it for longer
    or on faces of your own; the same preset, and usually a lower `learning_rate`. Pictures have
    their full size from the first epoch on."""


@dataclasses.dataclass(frozen=True)
class Workers:
    """Where it runs."""

    num_workers: int = 1
    """Data-parallel workers; the global batch is split among them."""
    min_workers: int | None = None
    """Go on with as few workers when the cluster shrinks, and with more when it grows again."""
    cpus_per_worker: int = 0
    """Cores of each worker; 0 shares out those of the machine or the cluster."""
    use_gpu: bool = False
    """One GPU a worker."""
    precision: Precision = "float32"
    """Of the network's body; the heads stay in float32. float16 scales the loss and gives up
    steps that overflow; it is for GPUs without bfloat16."""
    accumulate: int = 1
    """Micro-batches in which each worker takes its part of a step, to save memory; the step stays
    one of `global_batch_size` images (batch norm sees the micro-batches)."""
    max_failures: int = 3
    """Restarts of the worker group before the run gives up."""

    def __post_init__(self) -> None:
        """Check the counts.

        Raises:
            UsageError: one is too small.
        """
        _require_at_least_1(self, "num_workers", "min_workers", "accumulate")
        if self.cpus_per_worker < 0:
            raise UsageError(
                f"`cpus_per_worker` {self.cpus_per_worker} must be at least 1, or 0 to share out "
                "what there is"
            )
        if self.least > self.num_workers:
            raise UsageError(
                f"`min_workers` {self.min_workers} is more than `num_workers` {self.num_workers}"
            )

    @property
    def least(self) -> int:
        """Workers that the run cannot do without."""
        return self.min_workers or self.num_workers


@dataclasses.dataclass(frozen=True)
class Keeping:
    """When it ends, and what it leaves."""

    seed: int = 0
    """Of initialisation, order and augmentation."""
    early_stopping: int | None = None
    """End after so many epochs without a better validation loss."""
    checkpoint_every_steps: int | None = None
    """Checkpoints beside the one at each epoch's end, for very long epochs."""
    keep_best: int | None = None
    """Checkpoints kept by validation loss, beside the last; default: the last two."""
    weights_dtype: Literal["float32", "float16"] = "float32"
    """float16 halves the bundle on disk."""
    cache: Annotated[str | None, "URI"] = None
    """Folder or s3:// prefix of decoded images, which later runs with the same images and input
    size reuse; default: below the output, while the run lasts."""
    mlflow_uri: Annotated[str | None, "URI"] = None
    """MLflow tracking server or folder (extra `mlflow`)."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            UsageError: one is out of its range.
        """
        _require_at_least_1(self, "early_stopping", "checkpoint_every_steps", "keep_best")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"`seed` {self.seed} must be from 0 to {2**32 - 1}")


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """What to train, on what, where."""

    SAVED_IN: ClassVar[str] = "train.json"

    manifest: Annotated[str, "URI"] = ""
    """Output of jobs.ingest, or a labelled Parquet."""
    output: Annotated[str, "URI"] = ""
    """Folder or s3:// prefix for the bundle, checkpoints, history and curves."""
    preset: Annotated[str, "NAME"] = "seed-final"
    """Recipe to train; see `list_presets`."""
    list_presets: bool = False
    """Print the presets with weights, GFLOP an image and what to expect, and stop."""
    changes: Changes = dataclasses.field(default_factory=Changes)
    lessons: Lessons = dataclasses.field(default_factory=Lessons)
    workers: Workers = dataclasses.field(default_factory=Workers)
    keeping: Keeping = dataclasses.field(default_factory=Keeping)

    def uri(self, name: Literal["manifest", "output"]) -> str:
        """A normalized URI.

        Raises:
            UsageError: it is missing.
        """
        if not getattr(self, name):
            raise UsageError(f"`{name}` is missing: give a folder or an s3:// prefix")
        return storage.normalize(getattr(self, name))

    def recipe(self) -> Recipe:
        """The preset with what is changed of it.

        Raises:
            UsageError: there is no such preset, or it has no head that could be replaced.
        """
        changes, start = self.changes, self.lessons.start_from
        base = preset(self.preset)
        auxiliary = {"preset": base.auxiliary, "auxiliary": ("race",), "kept": ()}
        rates = {"learning_rate": changes.learning_rate, "clip_norm": changes.clip_norm}
        chosen = {name: value for name, value in rates.items() if value is not None}
        return dataclasses.replace(
            base,
            epochs=changes.epochs or base.epochs,
            global_batch_size=changes.global_batch_size or base.global_batch_size,
            optimizer=dataclasses.replace(base.optimizer, **chosen),
            heads=_heads(self.preset, changes, base.heads),
            auxiliary=auxiliary[changes.race_head],
            sides=() if start else base.sides,
        )


def _heads(name: str, changes: Changes, base: tuple[heads.Head, ...]) -> tuple[heads.Head, ...]:
    """The preset's heads with `age_head` and `race_head` applied."""
    chosen = list(base)
    if changes.age_head == "groups":
        if not any(head.label == "age_years" for head in base):
            raise UsageError(
                f"`age_head` groups: {name} has no age head that it could replace; choose a preset "
                "that reads ages, for example seed-final"
            )
        chosen = [heads.AGE_GROUPS if head.label == "age_years" else head for head in chosen]
    if changes.race_head != "preset" and not any(head.label == "race" for head in chosen):
        chosen.append(heads.RACE)
    return tuple(chosen)


def _require_at_least_1(group: object, *names: str) -> None:
    for name in names:
        value = getattr(group, name)
        if value is not None and value < 1:
            raise UsageError(f"`{name}` {value} must be at least 1")
