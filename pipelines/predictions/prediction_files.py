"""Which files predictions are, what their columns are, and the run that they come from."""

import dataclasses
import hashlib
import io
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import pyarrow.parquet as pq

from model.errors import UsageError
from pipelines import storage
from pipelines.predictions import frozen_inputs, layout
from pipelines.storage import tables

_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
REQUIRED = ("uri", "bundle_id")


@dataclasses.dataclass(frozen=True)
class PredictionFiles:
    """Where predictions are: their files, their columns, and the run's folder if there is one."""

    uri: str
    root: str | None
    files: tuple[str, ...]
    columns: frozenset[str]


def find_predictions(uri: str) -> PredictionFiles:
    """The files of a scoring output, of its predictions folder, or one Parquet file.

    Raises:
        UsageError: there are none, or the columns are not those of predictions.
    """
    uri = storage.normalize(uri)
    storage.require_readable(uri, "`predictions`")
    inner = layout.path(uri, layout.PREDICTIONS)
    files = [] if uri.endswith(".parquet") else tables.list_parquet(inner)
    root: str | None = uri
    if not files:
        if not uri.endswith(".parquet") and quarantined(uri):
            raise only_quarantine(uri)
        files = [uri] if uri.endswith(".parquet") else tables.list_parquet(uri)
        parent = uri.rsplit("/", 1)[0]
        root = parent if storage.exists(layout.path(parent, layout.JOB)) else None
    if not files:
        raise UsageError(
            f"`predictions` {uri} holds no Parquet file: give the output of jobs.score"
        )
    columns = frozenset([*pq.read_schema(open_file(files[0])).names, *partition(uri, files[0])])
    missing = [name for name in REQUIRED if name not in columns]
    if missing or not columns & {"age_years", "p_female"}:
        lacks = ", ".join(missing) or "age_years and p_female"
        raise UsageError(
            f"`predictions` {files[0]} lacks {lacks}: it has {', '.join(sorted(columns))}; give "
            "what jobs.score wrote"
        )
    return PredictionFiles(uri, root, tuple(files), columns)


def quarantined(root: str) -> bool:
    """Whether a run put anything into quarantine."""
    files = tables.list_parquet(layout.path(root, layout.QUARANTINE))
    return any(pq.read_metadata(open_file(file)).num_rows for file in files)


def only_quarantine(uri: str) -> UsageError:
    """What to say of a run that scored nothing."""
    return UsageError(
        f"`predictions` {uri} holds only quarantine, no predictions: the run scored nothing; look "
        "at the reasons in its quarantine folder"
    )


def partition(root: str, file: str) -> dict[str, str | None]:
    """The columns that a file's Hive folders below `root` stand for: `gender=female` and so on."""
    folders = file.removeprefix(root).split("/")[:-1]
    pairs = (folder.partition("=") for folder in folders if "=" in folder)
    return {name: None if v == _HIVE_NULL else unquote(v) for name, _, v in pairs}


def open_file(file: str) -> Any:
    """What pyarrow.parquet reads: the path, or the bytes of an object."""
    return file if storage.is_local(file) else io.BytesIO(storage.read_bytes(file))


def lineage(source: PredictionFiles) -> Mapping[str, Any]:
    """run.json of the scoring run, else its job.json, else nothing.

    `frozen_inputs` is a hash over those of the frozen lists of inputs.
    """
    if source.root is None:
        return {}
    frozen = frozen_inputs.load_frozen(source.root)
    inputs = {}
    if frozen is not None and all(frozen.sha256):
        inputs["frozen_inputs"] = hashlib.sha256("".join(frozen.sha256).encode()).hexdigest()[:16]
    for name in (layout.RUN, layout.JOB):
        try:
            return {**tables.read_json(layout.path(source.root, name)), **inputs}
        except FileNotFoundError:
            continue
    return inputs
