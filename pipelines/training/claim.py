"""What a training run is, its options resolved, and its claim to an output: train.json."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from model import baselines
from model.bundle import RECORD_FILE, Bundle
from model.errors import UsageError
from model.pictures import PREPROCESSING_VERSION
from model.recipes import Recipe
from pipelines import configuration, storage
from pipelines.bundles.opening import open_bundle
from pipelines.storage import tables
from pipelines.storage.claims import Claim
from pipelines.telemetry import phases
from pipelines.training import layout
from pipelines.training.options import TrainOptions
from pipelines.training.starting import Start, open_start

_URIS = ("manifest", "output", "teachers", "start_from", "cache", "compare")
# Left out of the identity at these values, so that outputs whose record lacks them stay resumable.
_DEFAULTS: dict[str, Any] = {
    "accumulate": 1, "early_stopping": None, "balance": "none", "teachers": [], "start": None,
    "folds": None, "folds_of": "", "part": "",
}  # fmt: skip


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
                **{
                    name: value for name, value in later_options.items() if value != _DEFAULTS[name]
                },
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


def resolve(options: TrainOptions, recipe: Recipe | None = None) -> TrainingJob:
    """The training that options mean.

    Args:
        options: of the job.
        recipe: in place of the one that they name.

    Raises:
        UsageError: something is missing, or does not fit together.
    """
    manifest, output = options.uri("manifest"), options.uri("output")
    recipe = _as_begun(recipe or options.recipe(), output)
    start = None
    if options.learning.start_from:
        start_uri = storage.normalize(options.learning.start_from)
        storage.require_readable(start_uri, "`start_from`")
        start = open_start(start_uri, recipe, options.cross_validation)
    teachers = tuple(open_bundle(uri) for uri in options.learning.teachers)
    job = TrainingJob(options, recipe, manifest, output, teachers, start)
    check(job)
    return job


def plan(options: TrainOptions) -> TrainingJob:
    """The training that options mean, with all its places looked at.

    Raises:
        UsageError: as `resolve`; a place cannot be read or written.
    """
    job = resolve(options)
    storage.require_readable(job.manifest, "`manifest`")
    storage.require_writable(job.output, "`output`")
    if options.run.cache:
        storage.require_writable(storage.normalize(options.run.cache), "`cache`")
    return job


def _as_begun(recipe: Recipe, output: str) -> Recipe:
    """The recipe with the version of the pixels that a run begun earlier in the output has.

    Raises:
        UsageError: this checkout does not know that version.
    """
    try:
        begun = tables.read_json(storage.join(output, layout.RECORD))["recipe"]["input"]
        version = int(begun["version"])
    except (FileNotFoundError, KeyError):
        return recipe
    if version > PREPROCESSING_VERSION:
        raise UsageError(f"`output` {output} was begun by a newer facemill: update this checkout")
    return dataclasses.replace(recipe, input=dataclasses.replace(recipe.input, version=version))


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
    note: str = ""
    """Where it is no better than a constant: a sentence of model/baselines.py."""


def claim(job: TrainingJob, fingerprint: str) -> Trained | None:
    """Claim the output, or return the finished run that it holds.

    Raises:
        UsageError: it holds another run; the differing settings are named.
    """
    identity = job.identity(fingerprint)
    output_claim = Claim(job.output, layout.RECORD, "training run", identity, _DEFAULTS)
    before = output_claim.record()
    record = output_claim.take(
        lambda: {
            "manifest": job.manifest,
            "run_id": phases.run_id(),
            "options": configuration.to_json(
                configuration.with_places(job.options, storage.normalize, *_URIS)
            ),
        }
    )
    if before is None:
        return None
    phases.adopt_run(record.get("run_id", ""))
    bundle_uri = storage.join(job.output, layout.BUNDLE)
    record_uri = storage.join(bundle_uri, RECORD_FILE)
    if not storage.exists(record_uri):
        return None
    bundle_record = tables.read_json(record_uri)
    return Trained(
        bundle_uri,
        bundle_record["bundle_id"],
        tuple(bundle_record["history"]),
        (),
        bundle_record["best_epoch"],
        True,
        baselines.of_record(bundle_record, "val"),
    )
