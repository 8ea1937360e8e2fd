"""The options of a training run, declared once: for the command line, train.json and the code."""

import dataclasses
from typing import Annotated, ClassVar, Literal

from model import heads
from model.errors import UsageError
from model.presets import preset
from model.recipes import Recipe
from pipelines import storage
from pipelines.configuration import ADVANCED, Renamed
from pipelines.training import layout

Balance = Literal["none", "age", "gender"]
Conflicts = Literal["drop", "median", "mean", "keep"]


_SPLITS = ("train", "val", "test")  # those of splits.py, whose pandas options must not import


_HEADS = ("age", "age-groups", "gender", "race", "race-auxiliary")


def _renamed_heads(age_head: str = "", race_head: str = "", gender_head: str = "") -> str:
    chosen = ["age-groups" if age_head == "groups" else "age"]
    chosen += [] if gender_head == "none" else ["gender"]
    return ",".join(
        [*chosen, *{"auxiliary": ["race-auxiliary"], "kept": ["race"]}.get(race_head, [])]
    )


def _renamed_int8(int8: bool = True, no_int8: bool = False) -> str:
    return "int8" if int8 and not no_int8 else "none"


QUANTIZATION_RENAMED = Renamed(
    ("int8", "no_int8"), "quantization", _renamed_int8, switches=("int8", "no_int8")
)


@dataclasses.dataclass(frozen=True)
class Changes:
    """What to change in the preset."""

    RENAMED: ClassVar = (
        Renamed(("age_head", "race_head", "gender_head"), "heads", _renamed_heads),
    )

    epochs: int | None = None
    """Passes over the train split; default: the preset's."""
    global_batch_size: int | None = None
    """Images of each step, over all workers; default: the preset's."""
    learning_rate: float | None = None
    """Peak learning rate; default: the preset's."""
    clip_norm: Annotated[float | None, "NUMBER", ADVANCED] = None
    """Largest norm of the gradient of a whole global batch; default: the preset's, if it has
    one."""
    heads: Annotated[str | None, "HEADS"] = None
    """What the network predicts, such as age,gender; default: the preset's. age-groups: a softmax
    over the age groups 0-10, 11-20, ... instead of the age in years. Leave gender out if the labels
    have none. race: UTKFace's five race labels; predicting a person's race is not a supported use,
    and scoring writes no such column (see the model card). race-auxiliary: train that head to
    improve the network, and leave it out of the bundle."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            UsageError: one is too small.
        """
        _require_at_least_1(self, "epochs", "global_batch_size")
        if strange := [part for part in self.wanted_heads if part not in _HEADS]:
            raise UsageError(
                f"`heads` {self.heads}: {strange[0]!r} is no head; choose among {', '.join(_HEADS)}"
            )
        for name in ("learning_rate", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"`{name}` {value:g} must be above 0")

    @property
    def wanted_heads(self) -> tuple[str, ...]:
        """The parts of `heads`; none: those of the preset."""
        return tuple(part.strip() for part in (self.heads or "").split(",") if part.strip())


@dataclasses.dataclass(frozen=True)
class Learning:
    """What the network is trained on."""

    RENAMED: ClassVar = (Renamed(("conflicts",), "conflicting_duplicates"),)

    conflicting_duplicates: Annotated[Conflicts, ADVANCED] = "drop"
    """Identical train images with different labels. drop: skip them (about 2 % of UTKFace). median:
    give them the group's median age and most frequent gender. mean: the group's mean age, and no
    gender on a tie. keep: train on all labels as they are."""
    balance: Annotated[Balance, ADVANCED] = "none"
    """Give rare ages (by decade) or the rarer gender more weight in the loss, at most 10:1."""
    teachers: Annotated[tuple[str, ...], "URI ..."] = ()
    """Distillation: bundles whose mean prediction for each augmented image is a second target
    beside its label; they must take the same colours, of any size."""
    start_from: Annotated[str | None, "URI"] = None
    """Output of a finished run, or a bundle, of the same network: start from its weights instead of
    random ones, usually at a lower `learning_rate`; images have their full size from the first
    epoch on. In cross-validation also a run with as many folds: each fold starts from its own."""


@dataclasses.dataclass(frozen=True)
class Workers:
    """Where the run computes."""

    RENAMED: ClassVar = (
        Renamed(("num_workers",), "workers"),
        Renamed(
            ("use_gpu",), "device", lambda use_gpu: "gpu" if use_gpu else "cpu",
            switches=("use_gpu",),
        ),
    )  # fmt: skip

    workers: int = 1
    """Data-parallel workers; each takes an equal share of every global batch."""
    device: Literal["cpu", "gpu"] = "cpu"
    """gpu: give each worker one GPU."""
    min_workers: Annotated[int | None, "N", ADVANCED] = None
    """Continue with as few workers as this when the cluster shrinks, and with more when it grows
    again; default: `workers`."""
    cpus_per_worker: Annotated[int, "N", ADVANCED] = 0
    """Cores of each worker; 0: divide all cores of the machine or the cluster."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of the network's body, whose heads stay in float32; float16, for GPUs without
    bfloat16, scales the loss and skips steps that overflow."""
    accumulate: Annotated[int, "N", ADVANCED] = 1
    """Micro-batches into which each worker divides its share of a step, to save memory; a step
    still has `global_batch_size` images, and batch norm works on micro-batches."""
    max_failures: Annotated[int, "N", ADVANCED] = 3
    """Restarts of the worker group before the run fails."""

    def __post_init__(self) -> None:
        """Check the counts.

        Raises:
            UsageError: one is too small.
        """
        _require_at_least_1(self, "workers", "min_workers", "accumulate")
        if self.cpus_per_worker < 0:
            raise UsageError(
                f"`cpus_per_worker` {self.cpus_per_worker} must be at least 1, or 0 to divide all "
                "cores"
            )
        if self.required > self.workers:
            raise UsageError(
                f"`min_workers` {self.min_workers} is more than `workers` {self.workers}"
            )

    @property
    def required(self) -> int:
        """Workers that the run cannot do without."""
        return self.min_workers or self.workers

    @property
    def use_gpu(self) -> bool:
        """Whether each worker has a GPU."""
        return self.device == "gpu"


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """Random seed, early stopping, checkpoints and what is written."""

    RENAMED: ClassVar = (QUANTIZATION_RENAMED,)

    seed: int = 0
    """Random seed of initialisation, order and augmentation, 0 to 4294967295."""
    early_stopping: Annotated[int | None, "N", ADVANCED] = None
    """Stop after this many epochs without a better validation loss; default: never."""
    checkpoint_every_steps: Annotated[int | None, "N", ADVANCED] = None
    """Steps between checkpoints within an epoch, beside the one at its end; default: none."""
    keep_best: Annotated[int | None, "N", ADVANCED] = None
    """Checkpoints to keep by lowest validation loss, beside the last; default: the last two
    alone."""
    weights_dtype: Annotated[Literal["float32", "float16"], ADVANCED] = "float32"
    """Type of the bundle's weights on disk; float16 takes half the space."""
    quantization: Literal["int8", "none"] = "int8"
    """int8: also make an int8 network, which scores twice as fast on CPUs with VNNI; it is kept if
    its predictions on val are as good."""
    cache: Annotated[str | None, "URI", ADVANCED] = None
    """Folder or prefix (s3://, gs://, az://) for decoded images, which later runs with the same
    images and input size reuse; default: below the output, removed at the end."""
    mlflow_uri: Annotated[str | None, "URI", ADVANCED] = None
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
class CrossValidation:
    """Metrics from every label, and a network trained on all of them."""

    RENAMED: ClassVar = (Renamed(("folds_of",), "fold_splits"),)

    folds: int | None = None
    """Number of networks to train, each without one part of the labelled images, whatever their
    split (the content of an image decides its part); default: 5. Every image gets predictions from
    the network that was not trained on it, and metrics count all images."""
    fold_splits: Annotated[str, "SPLITS", ADVANCED] = ""
    """Divide only the images of these splits of the manifest, for example val,test: the others are
    trained on in every fold. For teachers, or networks to start from, that were trained on the
    others and not on these."""
    final: bool = False
    """After the folds, train one more network on every labelled image, for the number of epochs
    that was best over all folds; its calibration comes from the folds."""
    compare: Annotated[str | None, "URI"] = None
    """Output of another cross-validation of the same images, or of jobs.evaluate on some of them:
    measure the paired difference, image by image."""

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
                f"`fold_splits` {self.fold_splits}: {', '.join(strange)} is no split; choose among "
                f"{', '.join(_SPLITS)}, for example val,test"
            )
        for name in ("final", "compare", "fold_splits"):
            if getattr(self, name) and self.folds is None:
                raise UsageError(f"`{name}` needs `folds`, for example 5")

    @property
    def divided(self) -> tuple[str, ...]:
        """The splits whose images are divided into folds; none: all images are."""
        return tuple(part.strip() for part in self.fold_splits.split(",") if part.strip())


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """What to train, on what, where."""

    SAVED_IN: ClassVar[str] = layout.RECORD
    RENAMED: ClassVar = (
        Renamed(
            ("list_presets",), "preset", lambda list_presets: "list", switches=("list_presets",)
        ),
    )
    cross_validation: ClassVar[CrossValidation]  # its values, or those of no cross-validation

    manifest: Annotated[str, "URI"] = ""
    """Output of jobs.ingest, or a labelled Parquet."""
    output: Annotated[str, "URI"] = ""
    """Folder or prefix (s3://, gs://, az://) for the bundle, checkpoints, history and curves."""
    preset: Annotated[str, "NAME"] = "facemill-photo"
    """Recipe to train; list: print every recipe with its weights, GFLOP per image and source."""
    dry_run: bool = False
    """Print the plan; start and write nothing."""
    changes: Changes = dataclasses.field(default_factory=Changes)
    learning: Learning = dataclasses.field(default_factory=Learning)
    workers: Workers = dataclasses.field(default_factory=Workers)
    run: RunSettings = dataclasses.field(default_factory=RunSettings)

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
        rates = {"learning_rate": changes.learning_rate, "clip_norm": changes.clip_norm}
        chosen = {name: value for name, value in rates.items() if value is not None}
        return dataclasses.replace(
            base,
            epochs=changes.epochs or base.epochs,
            global_batch_size=changes.global_batch_size or base.global_batch_size,
            optimizer=dataclasses.replace(base.optimizer, **chosen),
            heads=_heads(self.preset, changes, base.heads),
            auxiliary=_auxiliary(changes, base.auxiliary),
            sides=() if start else base.sides,
        )


TrainOptions.cross_validation = CrossValidation()


@dataclasses.dataclass(frozen=True)
class CrossValidateOptions(TrainOptions):
    """What to cross-validate, on what, where."""

    cross_validation: CrossValidation = dataclasses.field(default_factory=CrossValidation)  # pyright: ignore[reportIncompatibleVariableOverride]


def _heads(name: str, changes: Changes, base: tuple[heads.Head, ...]) -> tuple[heads.Head, ...]:
    """The preset's heads, or those of `heads` in its order.

    Raises:
        UsageError: `heads` wants one that the preset lacks and that cannot be added.
    """
    wanted = changes.wanted_heads
    if not wanted:
        return base
    labels = {{"age": "age_years", "race-auxiliary": "race"}.get(part, part) for part in wanted}
    if "age-groups" in labels:
        labels = labels - {"age-groups"} | {"age_years"}
    known = {head.label for head in base}
    for label in sorted(labels - known - {"race"}):
        raise UsageError(
            f"`heads` {changes.heads}: {name} has no head for {label}; choose another preset, for "
            "example facemill-photo"
        )
    chosen = [head for head in base if head.label in labels]
    if "age-groups" in wanted:
        chosen = [heads.AGE_GROUPS if head.label == "age_years" else head for head in chosen]
    if "race" in labels and "race" not in known:
        chosen.append(heads.RACE)
    return tuple(chosen)


def _auxiliary(changes: Changes, base: tuple[str, ...]) -> tuple[str, ...]:
    """The heads that are trained and left out of the bundle."""
    if not changes.wanted_heads:
        return base
    return ("race",) if "race-auxiliary" in changes.wanted_heads else ()


def _require_at_least_1(group: object, *names: str) -> None:
    for name in names:
        value = getattr(group, name)
        if value is not None and value < 1:
            raise UsageError(f"`{name}` {value} must be at least 1")
