"""The plan of a training: what its output holds, what it learns from, and what is left to do.

Reads the output once and writes nothing. A driver makes its plan while it holds the output's lease,
then claims the output by train.json; a dry run makes one without either.
"""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from model import baselines
from model.bundle import RECORD_FILE
from model.errors import UsageError
from model.heads import encode_target
from model.pictures import PREPROCESSING_VERSION
from pipelines import configuration, storage
from pipelines.manifests import manifest
from pipelines.storage import tables
from pipelines.storage.claims import Claim
from pipelines.telemetry import phases
from pipelines.training import layout
from pipelines.training.job import DEFAULTS, TrainingJob

_URIS = ("manifest", "output", "teachers", "start_from", "cache", "compare")


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a run left behind."""

    bundle_uri: str
    bundle_id: str
    history: tuple[Mapping[str, float], ...]
    rejects: tuple[str, ...]
    cpus: int
    """Cores of each worker."""
    best_epoch: int
    """Whose weights the bundle holds, counted from 1."""
    already_done: bool = False
    note: str = ""
    """Where it is no better than a constant: a sentence of model/baselines.py."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """A training, and how it goes on in its output.

    Attributes:
        job: what to train; its pixels are of the version that an earlier start of it took.
        table: the manifest, or what this training is to see of it.
        fingerprint: of the table.
        begun: whether the output holds this run already.
        done: what it left, if it has ended.
    """

    job: TrainingJob
    table: pa.Table
    fingerprint: str
    begun: bool
    done: Trained | None

    @property
    def images(self) -> dict[str, int]:
        """Labelled images of each split."""
        return dict(collections.Counter(map(str, self.table["split"].to_pylist())))

    @property
    def state(self) -> str:
        """What the output holds of it, in words."""
        if self.done:
            return f"finished: bundle {self.done.bundle_id}"
        return "begun: goes on from its last checkpoint" if self.begun else "new"


def plan(job: TrainingJob) -> Plan:
    """Look at the manifest and the output.

    Raises:
        UsageError: the output holds another run (the message names what differs), or the manifest
            has too little to learn from.
    """
    job, table = read_inputs(job)
    require_labels(job, table)
    return plan_of(job, table)


def read_inputs(job: TrainingJob) -> tuple[TrainingJob, pa.Table]:
    """The job as it was begun, if it was, and its manifest.

    Raises:
        UsageError: the manifest is not there; see also `as_begun`.
    """
    storage.require_readable(job.manifest, "`manifest`")
    names = ["uri", "age_years", "gender", "split"]
    return as_begun(job), manifest.read_manifest(job.manifest, names)


def plan_of(job: TrainingJob, table: pa.Table) -> Plan:
    """The plan of a training on rows that are at hand and known to be enough.

    Raises:
        UsageError: the output holds another run.
    """
    fingerprint = manifest.fingerprint(table)
    begun = _claim(job, fingerprint).require_own() is not None
    return Plan(job, table, fingerprint, begun, _finished(job) if begun else None)


def claim(planned: Plan) -> None:
    """Write train.json if the output is free, and take up the id of a run that was begun.

    Raises:
        UsageError: the output holds another run.
    """
    job = planned.job
    record = _claim(job, planned.fingerprint).take(
        lambda: {
            "manifest": job.manifest,
            "run_id": phases.run_id(),
            "options": configuration.to_json(
                configuration.with_places(job.options, storage.normalize, *_URIS)
            ),
        }
    )
    if planned.begun:
        phases.adopt_run(record.get("run_id", ""))


def as_begun(job: TrainingJob) -> TrainingJob:
    """The job with the version of the pixels that a run begun earlier in its output has.

    Raises:
        UsageError: this checkout does not know that version.
    """
    try:
        begun = tables.read_json(storage.join(job.output, layout.RECORD))["recipe"]["input"]
        version = int(begun["version"])
    except (FileNotFoundError, KeyError):
        return job
    if version > PREPROCESSING_VERSION:
        raise UsageError(
            f"`output` {job.output} was begun by a newer facemill: update this checkout"
        )
    pixels = dataclasses.replace(job.recipe.input, version=version)
    return dataclasses.replace(job, recipe=dataclasses.replace(job.recipe, input=pixels))


def _claim(job: TrainingJob, fingerprint: str) -> Claim:
    identity = job.identity(fingerprint)
    return Claim(job.output, layout.RECORD, "training run", identity, DEFAULTS)


def _finished(job: TrainingJob) -> Trained | None:
    """What the run left, if it has ended."""
    bundle_uri = storage.join(job.output, layout.BUNDLE)
    try:
        record: Mapping[str, Any] = tables.read_json(storage.join(bundle_uri, RECORD_FILE))
    except FileNotFoundError:
        return None
    return Trained(
        bundle_uri, record["bundle_id"], tuple(record["history"]), (),
        (record.get("training") or {}).get("cpus_per_worker", 1), record["best_epoch"], True,
        baselines.of_record(record, "val"),
    )  # fmt: skip


def with_splits(table: pa.Table, splits: Sequence[str | None]) -> pa.Table:
    """Rows of a manifest that are in other splits, one name each."""
    kind = table.schema.field("split")
    names = pa.array(splits, pa.string()).dictionary_encode().cast(kind.type)
    return table.set_column(table.column_names.index("split"), kind, names)


def require_labels(job: TrainingJob, table: pa.Table) -> None:
    """Check what can be known before anything is decoded or claimed.

    Raises:
        ManifestError: train or val has no labelled row.
        UsageError: a head that the bundle keeps has no label to learn from or to be measured by, or
            there are too few images for one batch.
    """
    for split in ("train", "val") if job.validated else ("train",):
        conflicts = job.options.learning.conflicting_duplicates if split == "train" else "keep"
        rows = manifest.labelled(table, split, conflicts)
        for head in job.recipe.kept_heads:
            known = encode_target(
                head, manifest.codes(rows, head.label), *manifest.age_ranges(rows)
            )
            if np.isnan(known).all():
                raise UsageError(
                    f"no image of the {split} split has a {head.label} label, which the "
                    f"head {head.name} of {job.recipe.name} needs: label some, choose another "
                    "preset, or leave that head out of `heads`"
                )
        if split == "train":
            require_a_batch(job, rows.num_rows)


def require_a_batch(job: TrainingJob, usable: int) -> None:
    """Check that so many images of train fill a batch.

    Raises:
        UsageError: they do not.
    """
    batch = job.recipe.global_batch_size
    if usable < batch:
        raise UsageError(
            f"the train split has {usable} usable images, fewer than one global batch of {batch}: "
            "lower `global_batch_size` or add images"
        )
