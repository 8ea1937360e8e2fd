"""What a training run is, and whose output this is: options, identity, the claim of an output."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any, Literal

from model import bundle as bundles
from model.bundle import Bundle
from model.errors import UsageError
from model.presets import PRESETS
from model.recipes import Recipe
from pipelines import storage
from pipelines.manifests.manifest import ConflictRule
from pipelines.storage import tables
from pipelines.telemetry import phases

WEIGHTS_FILE = "weights.npz"  # of the best epoch, as training has them: with batch norm, all heads
Precision = Literal["float32", "bfloat16", "float16"]
Balance = Literal["none", "age", "gender"]
# Left out of the identity at these values, so that outputs of before they existed stay resumable.
_DEFAULTS: dict[str, Any] = {
    "accumulate": 1, "early_stopping": None, "balance": "none", "teachers": [], "start": None,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Start:
    """Weights to begin with: an earlier run's output and the SHA-256 of its weights file."""

    output: str
    sha256: str
    training: Mapping[str, Any]
    """How it was trained, as its bundle says."""


def open_start(output: str, recipe: Recipe) -> Start:
    """The weights that an earlier run left.

    Raises:
        UsageError: there is no finished run, or it trained another network.
    """
    uri = storage.join(output, WEIGHTS_FILE)
    record_uri = storage.join(output, "bundle", bundles.RECORD_FILE)
    if not (storage.exists(uri) and storage.exists(record_uri)):
        raise UsageError(
            f"--start-from {output} holds no {WEIGHTS_FILE}: give the --output of a finished "
            "jobs.train"
        )
    record = tables.read_json(record_uri)
    theirs = record["recipe"]
    ours = tables.plain(recipe.to_json())
    parts = ("network", "heads")
    changed = _differences({p: theirs[p] for p in parts}, {p: ours[p] for p in parts})
    if theirs["input"]["color"] != ours["input"]["color"]:
        changed.append(f"input.color was {theirs['input']['color']!r}")
    if changed:
        raise UsageError(
            f"--start-from {output} trained another network ({'; '.join(changed)}): give a run "
            f"whose network and heads are those of {recipe.name}"
        )
    return Start(output, hashlib.sha256(storage.read_bytes(uri)).hexdigest(), record["training"])


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """What to train, on what, where.

    Attributes:
        recipe: the resolved recipe.
        manifest: URI of a labelled manifest.
        output: folder or prefix for checkpoints, bundle, history and curves.
        workers: data-parallel workers; the global batch is split among them.
        cpus_per_worker: cores of each.
        use_gpu: one GPU a worker.
        precision: of the network's body.
        conflicts: what to do with contradicting labels of identical images.
        seed: of initialisation, order and augmentation.
        max_failures: restarts of the worker group before the run gives up.
        weights_dtype: float16 halves the bundle on disk.
        min_workers: the group goes on with as few when the cluster shrinks; None for all.
        accumulate: micro-batches in which each worker takes its part of a batch.
        early_stopping: epochs without a better validation loss before the end, or None.
        balance: weigh examples by the rarity of their label.
        checkpoint_every_steps: checkpoints beside those of each epoch, or None.
        keep_best: checkpoints kept by validation loss, beside the last; None keeps the last two.
        cache: folder or prefix of decoded images; None for one below the output, until it is done.
        mlflow_uri: tracking server or folder, or None.
        teachers: bundles that the network is to imitate, beside learning the labels.
        start: weights to begin with in place of random ones, or None.
    """

    recipe: Recipe
    manifest: str
    output: str
    workers: int = 1
    cpus_per_worker: int = 1
    use_gpu: bool = False
    precision: Precision = "float32"
    conflicts: ConflictRule = "drop"
    seed: int = 0
    max_failures: int = 3
    weights_dtype: Literal["float32", "float16"] = "float32"
    min_workers: int | None = None
    accumulate: int = 1
    early_stopping: int | None = None
    balance: Balance = "none"
    checkpoint_every_steps: int | None = None
    keep_best: int | None = None
    cache: str | None = None
    mlflow_uri: str | None = None
    teachers: tuple[Bundle, ...] = ()
    start: Start | None = None

    def identity(self, fingerprint: str) -> dict[str, Any]:
        """All that decides the outcome; the number of workers does not."""
        recipe = self.recipe.to_json()
        del recipe["source"]  # prose
        own = {n: getattr(self, n) for n in _DEFAULTS}
        own["teachers"] = [teacher.id for teacher in self.teachers]
        own["start"] = self.start and self.start.sha256[:16]
        chosen = {n: value for n, value in own.items() if value != _DEFAULTS[n]}
        return tables.plain(
            {
                "recipe": recipe,
                "manifest_fingerprint": fingerprint,
                "precision": self.precision,
                "conflicts": self.conflicts,
                "seed": self.seed,
                "weights_dtype": self.weights_dtype,
                **chosen,
            }
        )

    def command(self) -> str:
        """What to type to train this again, given the manifest."""
        usual = TrainOptions(self.recipe, self.manifest, self.output)
        flags = {
            "preset": self.recipe.name,
            "epochs": self.recipe.epochs,
            **self._overrides(),
            **{
                name: getattr(self, name)
                for name in ("precision", "conflicts", "seed", "accumulate", "balance",
                             "early_stopping", "weights_dtype")
                if getattr(self, name) != getattr(usual, name)
            },
        }  # fmt: skip
        if self.teachers:
            flags["teachers"] = " ".join(f"BUNDLE-{teacher.id}" for teacher in self.teachers)
        if self.start:
            flags["start-from"] = f"RUN-{self.start.sha256[:16]}"
        text = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in flags.items())
        return f"python -m jobs.train {text} --manifest MANIFEST --output OUTPUT"

    def _overrides(self) -> dict[str, Any]:
        """The arguments that made the recipe differ from its preset."""
        recipe, given = self.recipe, PRESETS[self.recipe.name]
        theirs = {(head.name, head.classes) for head in given.heads}
        changed = {head for head in recipe.heads if (head.name, head.classes) not in theirs}
        values = {
            "global-batch-size": (recipe.global_batch_size, given.global_batch_size),
            "learning-rate": (recipe.optimizer.learning_rate, given.optimizer.learning_rate),
            "clip-norm": (recipe.optimizer.clip_norm, given.optimizer.clip_norm),
        }
        found: dict[str, Any] = {n: mine for n, (mine, its) in values.items() if mine != its}
        if any(head.label == "age_years" for head in changed):
            found["age-head"] = "groups"
        if any(head.label == "race" for head in changed) or recipe.auxiliary != given.auxiliary:
            found["race-head"] = "auxiliary" if "race" in recipe.auxiliary else "kept"
        return found

    def check(self) -> None:
        """Check what no type says.

        Raises:
            UsageError: the batch cannot be shared out.
        """
        batch, least = self.recipe.global_batch_size, self.min_workers or self.workers
        if batch % self.workers:
            raise UsageError(
                f"--global-batch-size {batch} does not divide by --num-workers {self.workers}: "
                "each worker must take an equal share"
            )
        if batch % (self.workers * self.accumulate):
            raise UsageError(
                f"--accumulate {self.accumulate} does not divide the {batch // self.workers} "
                "images that each worker takes of a batch: choose a divisor of that"
            )
        if least > self.workers:
            raise UsageError(f"--min-workers {least} is more than --num-workers {self.workers}")
        for teacher in self.teachers:
            self._check_teacher(teacher)

    def _check_teacher(self, teacher: Bundle) -> None:
        """Refuse a teacher that sees other colours, or says what this network does not."""
        if teacher.input.color != self.recipe.input.color:
            raise UsageError(
                f"--teachers {teacher.name} ({teacher.id}) takes {teacher.input.color} pictures, "
                f"{self.recipe.name} takes {self.recipe.input.color} ones: a teacher must see the "
                "same picture, of whatever size"
            )
        own = {(head.name, head.kind, head.classes) for head in self.recipe.heads}
        strange = [h.name for h in teacher.heads if (h.name, h.kind, h.classes) not in own]
        if strange:
            raise UsageError(
                f"--teachers {teacher.name} ({teacher.id}) has heads that {self.recipe.name} has "
                f"not: {', '.join(strange)}; give a bundle of the same preset"
            )


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a run left behind."""

    bundle_uri: str
    bundle_id: str
    history: tuple[Mapping[str, float], ...]
    rejects: tuple[str, ...]
    best_epoch: int
    """Whose weights the bundle holds, counted from 1."""
    already_done: bool = False


def claim(options: TrainOptions, fingerprint: str) -> Trained | None:
    """Claim the output, or return the finished run that it holds.

    Raises:
        UsageError: it holds another run; the differing settings are named.
    """
    marker = storage.join(options.output, "train.json")
    identity = options.identity(fingerprint)
    if not storage.exists(marker):
        more = {"manifest": options.manifest, "run_id": phases.run_id()}
        tables.write_json(marker, {**identity, **more})
        return None
    before = tables.read_json(marker)
    before.pop("manifest", None)  # the same images may lie elsewhere
    phases.adopt_run(before.pop("run_id", ""))
    changed = _differences({**_DEFAULTS, **before}, {**_DEFAULTS, **identity})
    if changed:
        raise UsageError(
            f"--output {options.output} holds another training run ({'; '.join(changed)}): "
            "choose another --output, or repeat the arguments of that run to resume it"
        )
    bundle_uri = storage.join(options.output, "bundle")
    record_uri = storage.join(bundle_uri, bundles.RECORD_FILE)
    if not storage.exists(record_uri):
        return None
    record = tables.read_json(record_uri)
    return Trained(
        bundle_uri, record["bundle_id"], tuple(record["history"]), (), record["best_epoch"], True
    )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> list[str]:
    """`recipe.epochs was 12, is 3` for every leaf that differs."""
    found: list[str] = []
    for key in [*now, *(key for key in before if key not in now)]:
        old, value, name = before.get(key), now.get(key), f"{path}{key}"
        if isinstance(value, dict) and isinstance(old, dict):
            found += _differences(old, value, f"{name}.")  # type: ignore[arg-type]
        elif old != value:
            found.append(f"{name} was {old!r}, is {value!r}")
    return found
