"""A training: its options, opened and checked, before its output is looked at."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

from model.bundle import NETWORK_FILE, RECORD_FILE, Bundle
from model.errors import UsageError
from model.recipes import Recipe
from pipelines import configuration, storage
from pipelines.bundles.opening import open_bundle
from pipelines.storage import tables
from pipelines.storage.claims import differences
from pipelines.training import layout
from pipelines.training.options import CrossValidation, TrainOptions

# Left out of the identity at these values, so that outputs whose record lacks them stay resumable.
DEFAULTS: dict[str, Any] = {
    "accumulate": 1, "early_stopping": None, "balance": "none", "teachers": [], "start": None,
    "folds": None, "folds_of": "", "part": "",
}  # fmt: skip


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


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """Options and what they mean here.

    Attributes:
        options: as the user gave them.
        recipe: the preset with its changes.
        manifest: normalized URI.
        output: normalized URI.
        teachers: bundles that the network is to imitate, beside learning the labels.
        start: weights to begin with in place of random ones, or None.
        part: which of the trainings of a run with folds this is, as text, or ''.
        validated: whether a val split chooses the best epoch; without one the last is kept.
    """

    options: TrainOptions
    recipe: Recipe
    manifest: str
    output: str
    teachers: tuple[Bundle, ...] = ()
    start: Start | None = None
    part: str = ""
    validated: bool = True

    def identity(self, fingerprint: str) -> dict[str, Any]:
        """All that decides the outcome; the number of workers does not."""
        recipe = self.recipe.to_json()
        del recipe["source"]  # prose
        workers, learning, run = (
            self.options.workers, self.options.learning, self.options.run,
        )  # fmt: skip
        later_options = {
            "accumulate": workers.accumulate,
            "early_stopping": run.early_stopping,
            "balance": learning.balance,
            "teachers": [teacher.id for teacher in self.teachers],
            "start": self.start and self.start.sha256[:16],
            "folds": self.options.cross_validation.folds,
            "folds_of": self.options.cross_validation.fold_splits,
            "part": self.part,
        }
        return tables.plain(
            {
                "recipe": recipe,
                "manifest_fingerprint": fingerprint,
                "precision": workers.precision,
                "conflicts": learning.conflicting_duplicates,
                "seed": run.seed,
                "weights_dtype": run.weights_dtype,
                **{name: value for name, value in later_options.items() if value != DEFAULTS[name]},
            }
        )

    def repeatable(self) -> dict[str, Any]:
        """The options for repeating it elsewhere: no URIs, bundles and runs by their ids."""
        chosen = configuration.to_json(self.options)
        for name in ("manifest", "output", "cache", "mlflow_uri", "compare"):
            chosen.pop(name, None)
        if self.teachers:
            chosen["teachers"] = [f"BUNDLE-{teacher.id}" for teacher in self.teachers]
        if self.start:
            chosen["start_from"] = self.start.name
        return {"preset": self.options.preset, **chosen}

    def require_places(self) -> None:
        """Check the places that it reads and writes, before anything is started.

        Raises:
            UsageError: one cannot be read or written.
        """
        storage.require_readable(self.manifest, "`manifest`")
        storage.require_writable(self.output, "`output`")
        if self.options.run.cache:
            storage.require_writable(storage.normalize(self.options.run.cache), "`cache`")


def prepare(options: TrainOptions, recipe: Recipe | None = None) -> TrainingJob:
    """The training that options mean.

    Args:
        options: of the job.
        recipe: in place of the one that they name.

    Raises:
        UsageError: something is missing, or does not fit together.
    """
    recipe = recipe or options.recipe()
    manifest, output = options.uri("manifest"), options.uri("output")
    start = None
    if options.learning.start_from:
        start_uri = storage.normalize(options.learning.start_from)
        storage.require_readable(start_uri, "`start_from`")
        start = open_start(start_uri, recipe, options.cross_validation)
    teachers = tuple(open_bundle(uri) for uri in options.learning.teachers)
    job = TrainingJob(options, recipe, manifest, output, teachers, start)
    check(job)
    return job


def check(job: TrainingJob) -> None:
    """Check what no type says.

    Raises:
        UsageError: the batch cannot be shared out.
    """
    recipe, workers = job.recipe, job.options.workers
    batch = recipe.global_batch_size
    if batch % workers.workers:
        raise UsageError(
            f"`global_batch_size` {batch} does not divide by `workers` {workers.workers}: "
            "each worker must take an equal share"
        )
    if batch % (workers.workers * workers.accumulate):
        raise UsageError(
            f"`accumulate` {workers.accumulate} does not divide the {batch // workers.workers} "
            "images that each worker takes of a batch: choose a divisor of that"
        )
    for teacher in job.teachers:
        _check_teacher(recipe, teacher)


def _check_teacher(recipe: Recipe, teacher: Bundle) -> None:
    """Refuse a teacher that sees other colours, or says what this network does not."""
    if teacher.input.color != recipe.input.color:
        raise UsageError(
            f"`teachers` {teacher.name} ({teacher.id}) takes {teacher.input.color} images, "
            f"{recipe.name} takes {recipe.input.color} ones: a teacher must take the same colours"
        )
    own_heads = {(head.name, head.kind, head.classes) for head in recipe.heads}
    strange = [h.name for h in teacher.heads if (h.name, h.kind, h.classes) not in own_heads]
    if strange:
        raise UsageError(
            f"`teachers` {teacher.name} ({teacher.id}) has heads that {recipe.name} does "
            f"not have: {', '.join(strange)}; give a bundle of the same preset"
        )
