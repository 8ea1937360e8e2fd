"""The options of a training run, declared once: for the command line, train.json and the code."""

import dataclasses
from typing import Annotated, ClassVar, Literal

from model import heads
from model.errors import UsageError
from model.presets import preset
from model.recipes import Recipe
from pipelines import storage
from pipelines.training import layout

Balance = Literal["none", "age", "gender"]
Conflicts = Literal["drop", "median", "mean", "keep"]


_SPLITS = ("train", "val", "test")  # those of splits.py, whose pandas options must not import


@dataclasses.dataclass(frozen=True)
class Changes:
    """What to change in the preset."""

    epochs: int | None = None
    """Passes over the train split; default: the preset's."""
    global_batch_size: int | None = None
    """Images of each step, over all workers; default: the preset's."""
    learning_rate: float | None = None
    """Peak learning rate; default: the preset's."""
    clip_norm: float | None = None
    """Largest norm of the gradient of a whole global batch; default: the preset's, if it has
    one."""
    age_head: Literal["preset", "groups"] = "preset"
    """groups: a softmax over the age groups 0-10, 11-20, … in place of the age in years."""
    race_head: Literal["preset", "auxiliary", "kept"] = "preset"
    """auxiliary: train a head on UTKFace's five race labels for what they teach the network, and
    leave it out of the bundle; kept: keep it in the bundle, though predicting race of a person is
    no supported use and scoring writes no such column (see the model card)."""
    gender_head: Literal["preset", "none"] = "preset"
    """none: a network of ages alone, for labels without genders (APPA-REAL, CACD, FG-NET)."""

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
class Learning:
    """What the network learns from."""

    conflicts: Conflicts = "drop"
    """Identical train images with contradicting labels: drop leaves them out (about 2 % of
    UTKFace), median gives them the group's median age and most frequent gender, mean its mean age
    and no gender where as many say one as the other, keep keeps them."""
    balance: Balance = "none"
    """Weigh train examples by the rarity of their decade of age or of their gender, at most
    10:1."""
    teachers: Annotated[tuple[str, ...], "URI ..."] = ()
    """Bundles whose mean output for each augmented image is learned beside its label
    (distillation); they must take the same colours, of any size."""
    start_from: Annotated[str | None, "URI"] = None
    """Output of a finished run, or a bundle, of the same network, whose weights to begin with in
    place of random ones, usually at a lower `learning_rate`; pictures then have their full size
    from the first epoch on. With folds also a run with as many: each begins with its own."""


@dataclasses.dataclass(frozen=True)
class Workers:
    """Where the run computes."""

    num_workers: int = 1
    """Data-parallel workers, which share each global batch equally."""
    min_workers: int | None = None
    """Go on with as few workers as this when the cluster shrinks, and with more when it grows
    again; default: `num_workers`."""
    cpus_per_worker: int = 0
    """Cores of each worker; 0 shares out all cores of the machine or the cluster."""
    use_gpu: bool = False
    """Give each worker one GPU."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of the network's body, whose heads stay in float32; float16, for GPUs without
    bfloat16, scales the loss and skips steps that overflow."""
    accumulate: int = 1
    """Micro-batches into which each worker cuts its part of a step, to save memory; a step stays
    one of `global_batch_size` images, and batch norm sees the micro-batches."""
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
class RunSettings:
    """The run's random seed, when it ends and what it leaves."""

    seed: int = 0
    """Random seed of initialisation, order and augmentation, 0 to 4294967295."""
    early_stopping: int | None = None
    """End after this many epochs without a better validation loss; default: never."""
    checkpoint_every_steps: int | None = None
    """Steps between checkpoints within an epoch, beside the one at its end; default: none."""
    keep_best: int | None = None
    """Checkpoints to keep by lowest validation loss, beside the last; default: the last two
    alone."""
    weights_dtype: Literal["float32", "float16"] = "float32"
    """Type of the bundle's weights on disk; float16 halves them."""
    int8: bool = True
    """Make an int8 network too, which scores twice as fast on CPUs with VNNI; it is kept if val
    shows that it answers as well."""
    cache: Annotated[str | None, "URI"] = None
    """Folder or prefix (s3://, gs://, az://) for decoded images, which later runs with the same
    images and input size reuse; default: below the output, removed at the end."""
    mlflow_uri: Annotated[str | None, "URI"] = None
    """MLflow tracking server or folder to log to (needs the package mlflow-skinny)."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            UsageError: one is out of its range.
        """
        _require_at_least_1(self, "early_stopping", "checkpoint_every_steps", "keep_best")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"`seed` {self.seed} must be from 0 to {2**32 - 1}")


@dataclasses.dataclass(frozen=True)
class CrossFitting:
    """Figures from every label, and a network that has seen all of them."""

    folds: int | None = None
    """Train so many networks, each without one part of all labelled images, whatever their split;
    an image's content decides its part. Leaves answers for every image by the network that did not
    see it, and figures over all of them."""
    folds_of: Annotated[str, "SPLITS"] = ""
    """Divide only the images of these splits of the manifest, for example val,test: those of the
    others are learned from in every fold. For networks to begin with, or to be taught by, that have
    seen the others and not these."""
    final: bool = False
    """After the folds train one more network on every labelled image, for as many epochs as the
    folds agree on; its calibration comes from the folds."""
    compare: Annotated[str | None, "URI"] = None
    """Output of another run with `folds` over the same images, or of jobs.evaluate on some of them:
    measure the difference image by image."""

    def __post_init__(self) -> None:
        """Check the count and the splits, and that what follows from folds has some.

        Raises:
            UsageError: there is only one, or none; a split is unknown.
        """
        if self.folds is not None and self.folds < 2:
            raise UsageError(
                f"`folds` {self.folds} must be at least 2, for example 5: each network leaves one "
                "of them out"
            )
        if strange := sorted({*self.divided} - {*_SPLITS}):
            raise UsageError(
                f"`folds_of` {self.folds_of}: {', '.join(strange)} is no split; choose among "
                f"{', '.join(_SPLITS)}, for example val,test"
            )
        for name in ("final", "compare", "folds_of"):
            if getattr(self, name) and self.folds is None:
                raise UsageError(f"`{name}` needs `folds`, for example 5")

    @property
    def divided(self) -> tuple[str, ...]:
        """The splits whose images are divided into folds; none: all images are."""
        return tuple(part.strip() for part in self.folds_of.split(",") if part.strip())


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """What to train, on what, where."""

    SAVED_IN: ClassVar[str] = layout.RECORD

    manifest: Annotated[str, "URI"] = ""
    """Output of jobs.ingest, or a labelled Parquet."""
    output: Annotated[str, "URI"] = ""
    """Folder or prefix (s3://, gs://, az://) for the bundle, checkpoints, history and curves."""
    preset: Annotated[str, "NAME"] = "seed-final"
    """Recipe to train, one of those that `list_presets` prints."""
    list_presets: bool = False
    """Print every preset with its weights, GFLOP an image and expected accuracy, and stop."""
    changes: Changes = dataclasses.field(default_factory=Changes)
    learning: Learning = dataclasses.field(default_factory=Learning)
    workers: Workers = dataclasses.field(default_factory=Workers)
    run: RunSettings = dataclasses.field(default_factory=RunSettings)
    cross_fitting: CrossFitting = dataclasses.field(default_factory=CrossFitting)

    def uri(self, name: Literal["manifest", "output"]) -> str:
        """A normalized URI.

        Raises:
            UsageError: it is missing.
        """
        if not getattr(self, name):
            raise UsageError(
                f"`{name}` is missing: give a folder or a prefix (s3://, gs://, az://)"
            )
        return storage.normalize(getattr(self, name))

    def recipe(self) -> Recipe:
        """The preset with what is changed of it.

        Raises:
            UsageError: there is no such preset, or it has no head that could be replaced.
        """
        changes, start = self.changes, self.learning.start_from
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
    """The preset's heads with `age_head`, `race_head` and `gender_head` applied."""
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
    if changes.gender_head == "none":
        chosen = [head for head in chosen if head.label != "gender"]
        if not any(head.label == "age_years" for head in chosen):
            raise UsageError(
                f"`gender_head` none: {name} reads nothing but genders; choose a preset that reads "
                "ages, for example facemill-photo"
            )
    return tuple(chosen)


def _require_at_least_1(group: object, *names: str) -> None:
    for name in names:
        value = getattr(group, name)
        if value is not None and value < 1:
            raise UsageError(f"`{name}` {value} must be at least 1")
