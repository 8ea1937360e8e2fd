"""A finished scoring run made up without a network, for tests of what reads one."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from model.bundle import Bundle
from pipelines import storage
from pipelines.bundles.opening import copy_bundle
from pipelines.predictions import frozen_inputs, layout, schemas
from pipelines.predictions.run_record import write_run
from pipelines.scoring.claim import ScoreOptions, claim, lineage
from pipelines.storage import tables


def finished_run(
    output: str, bundle: Bundle, inputs: list[str] | pa.Table, shard_rows: int = 4, bad: int = 1
) -> dict[str, Any]:
    """Write all files of a run in which the first `bad` inputs of each shard were rejected."""
    claim(_options(output), bundle, None)
    copy_bundle(bundle, storage.join(output, "bundle"))
    listing = pa.table({"uri": inputs}) if isinstance(inputs, list) else inputs
    frozen = frozen_inputs.freeze(output, [listing], shard_rows)
    for index in range(len(frozen.rows)):
        names = [row["uri"] for row in frozen.read(index)]
        write_shard(output, bundle, index, names[bad:], names[:bad])
    return finish_run(output, bundle)


def _options(output: str) -> ScoreOptions:
    return ScoreOptions(str(Path(output).parent / "faces"), "images", output)


def finish_run(output: str, bundle: Bundle) -> dict[str, Any]:
    """Write run.json over the shards that are there."""
    frozen = frozen_inputs.load_frozen(output)
    assert frozen is not None
    return write_run(output, lineage(_options(output), bundle), frozen, {}, 1.0)


def write_shard(
    output: str, bundle: Bundle, index: int, good: list[str], rejected: list[str]
) -> None:
    """Write the two files of one shard."""
    ages = np.full(len(good), 30, dtype=np.float32)
    columns = {"age_years": ages, "p_female": ages / 100}
    rows = schemas.predictions_table(good, [(200, 200)] * len(good), columns, bundle)
    reasons = [{"uri": uri, "stage": "read", "error": "not_found"} for uri in rejected]
    quarantine = pa.Table.from_pylist(reasons, schema=schemas.QUARANTINE_SCHEMA)
    for kind, table in (("quarantine", quarantine), ("predictions", rows)):
        tables.write_table(layout.shard(output, kind, index), table)
