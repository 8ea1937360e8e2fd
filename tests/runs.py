"""Runs made up without a network or a group of workers, for tests of what reads or resumes one."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from model.bundle import Bundle
from model.recipes import Recipe
from pipelines.bundles.opening import copy_bundle
from pipelines.configuration import build, names
from pipelines.images.batches import Crop
from pipelines.manifests.sources import Source
from pipelines.manifests.sources.images import Images
from pipelines.predictions import frozen_inputs, layout, schemas
from pipelines.predictions.run_record import write_run
from pipelines.scoring import run
from pipelines.scoring.job import prepare
from pipelines.scoring.options import ScoreOptions
from pipelines.scoring.placement import Placement
from pipelines.scoring.plan import Plan, claim, plan
from pipelines.storage import tables
from pipelines.training.job import TrainingJob
from pipelines.training.job import prepare as prepare_training
from pipelines.training.options import CrossValidateOptions, CrossValidation, TrainOptions


def linked_faces(faces_dir: Path, folder: Path, count: int) -> Path:
    """`folder` with so many links to the faces of a folder."""
    folder.mkdir()
    faces = sorted(faces_dir.iterdir())
    for number in range(count):
        os.link(faces[number % len(faces)], folder / f"{number:05d}.jpg")
    return folder


def training_job(recipe: Recipe, manifest: str, output: str, **options: Any) -> TrainingJob:
    """A training of a recipe that no preset has, a core a worker; options by their flat names."""
    kind = CrossValidateOptions if {*options} & {*names(CrossValidation)} else TrainOptions
    values = {"cpus_per_worker": 1, "manifest": manifest, "output": output, **options}
    return prepare_training(build(kind, **values), recipe)


def score_options(**values: Any) -> ScoreOptions:
    """Options by their flat names, for our drawn faces, which fill their pictures."""
    return build(ScoreOptions, **{"faces": "crop", **values})


@dataclasses.dataclass(frozen=True)
class _WithoutGpu(Placement):
    @property
    def resources(self) -> dict[str, int]:
        return {"num_cpus": 0, "num_gpus": 0}


def place_as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs have the stages of a GPU's plan, with the network on a core."""
    monkeypatch.setattr(run, "placed", lambda *_: _WithoutGpu(True, 1, 1, "as on a GPU"))


def plan_of(options: ScoreOptions, bundle: Bundle, source: Source | None = None) -> Plan:
    """The plan of options in their output, as it is now."""
    return plan(prepare(options, bundle, source))


def score(options: ScoreOptions, bundle: Bundle, source: Source | None = None) -> run.Scored:
    """Score with a bundle that is at hand."""
    return run.score(prepare(options, bundle, source))


def scoring_job(options: ScoreOptions, bundle: Bundle) -> Plan:
    """The plan of options that name a folder of images."""
    return plan_of(options, bundle, Images(options.images[0]))


def finished_run(
    output: str, bundle: Bundle, inputs: list[str] | pa.Table, shard_rows: int = 4, bad: int = 1
) -> dict[str, Any]:
    """Write all files of a run in which the first `bad` inputs of each shard were rejected."""
    claim(_job(output, bundle))
    copy_bundle(bundle, layout.path(output, layout.BUNDLE))
    listing = pa.table({"uri": inputs}) if isinstance(inputs, list) else inputs
    frozen = frozen_inputs.freeze(output, [listing], shard_rows)
    for index in range(len(frozen.rows)):
        names = [row["uri"] for row in frozen.read(index)]
        write_shard(output, bundle, index, names[bad:], names[:bad])
    return finish_run(output, bundle)


def _job(output: str, bundle: Bundle) -> Plan:
    faces = str(Path(output).parent / "faces")
    options = score_options(images=(faces,), output=output, compute="float32")
    return scoring_job(options, bundle)


def finish_run(output: str, bundle: Bundle) -> dict[str, Any]:
    """Write run.json over the shards that are there."""
    frozen = frozen_inputs.load_frozen(output)
    assert frozen is not None
    return write_run(output, _job(output, bundle).lineage(), frozen, {}, 1.0)


def write_shard(
    output: str, bundle: Bundle, index: int, good: list[str], rejected: list[str]
) -> None:
    """Write the two files of one shard."""
    ages = np.full(len(good), 30, dtype=np.float32)
    columns = {"age_years": ages, "p_female": ages / 100}
    rows = schemas.predictions_table([Crop(u, 200, 200) for u in good], columns, bundle.id)
    reasons = [{"uri": uri, "stage": "read", "error": "not_found"} for uri in rejected]
    quarantine = pa.Table.from_pylist(reasons, schema=schemas.QUARANTINE_SCHEMA)
    for kind, table in (("quarantine", quarantine), ("predictions", rows)):
        tables.write_table(layout.shard(output, kind, index), table)
