"""Proof from the files alone that a scoring run is whole: inputs = scored + quarantined, once each.

Reads every shard once, a few at a time. Duplicates across shards are looked for by 128-bit hashes
of the uris, spread over files in a temporary folder, so memory stays flat however many there are.
"""

import collections
import dataclasses
import hashlib
import io
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model.bundle import RECORD_FILE
from model.errors import StorageError
from pipelines import storage
from pipelines.predictions import frozen_inputs, layout
from pipelines.predictions.run_record import RUN_FORMAT
from pipelines.predictions.uri_hashes import HASH, Column, hash_strings
from pipelines.storage import tables
from pipelines.storage.fetching import read_ahead
from pipelines.telemetry.progress import Progress

_READERS = 4
_PARTS = 64  # files that hashes are spread over: a billion uris take 16 GB of disk, 250 MB at once
_MOST_PROBLEMS = 20
_COLUMNS = {"predictions": ["uri", "bundle_id", "face", "faces"], "quarantine": ["uri"],
            "inputs": ["uri"]}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Verified:
    """Counts of a finished run; `problems` is empty where all is well."""

    inputs: int
    scored: int
    quarantined: int
    files: int
    bundle_id: str
    problems: tuple[str, ...]
    rows: int = 0


@dataclasses.dataclass(frozen=True)
class _Checked:
    """One shard."""

    uris: Column
    counts: dict[str, int]
    problems: list[str]


def verify(output: str) -> Verified:
    """Check a finished run.

    Raises:
        StorageError: the store cannot be reached.
    """
    frozen, run = frozen_inputs.load_frozen(output), _read_run(output)
    if frozen is None or run is None:
        missing = layout.FROZEN if frozen is None else layout.RUN
        text = f"there is no {missing}: the run is not finished; run its command again to continue"
        return Verified(0, 0, 0, 0, "", (text,))
    problems = [*_listing_problems(output, run), *_job_problems(output, run)]
    progress = Progress("verify", frozen.total)
    counts = collections.Counter[str]()
    indices = range(len(frozen.rows))

    def checked(index: int) -> _Checked:
        return _check_shard(output, index, frozen, run)

    with tempfile.TemporaryDirectory(prefix="facemill-verify-") as folder:
        uris = _SpreadHashes(folder)
        for shard in read_ahead(checked, indices, _READERS):
            problems += shard.problems
            counts.update(shard.counts)
            uris.add(shard.uris)
            progress.advance(shard.counts["inputs"])
        progress.close()
        twice = uris.duplicates()
        if len(twice):
            problems.append(_name_duplicates(output, indices, twice))
    claims = {"rows": run["scored"], **run}  # a run of 0.1.0 has one row an image
    for counted, claimed in (
        ("inputs", "inputs"), ("scored", "scored"), ("predictions", "rows"),
        ("quarantine", "quarantined"),
    ):  # fmt: skip
        if counts[counted] != claims[claimed]:
            problems.append(
                f"{layout.RUN} says {claims[claimed]:,} {claimed}, found {counts[counted]:,}"
            )
    if counts["inputs"] != counts["scored"] + counts["quarantine"]:
        problems.append(
            f"{counts['inputs']:,} inputs are not {counts['scored']:,} scored "
            f"+ {counts['quarantine']:,} quarantined"
        )
    found = (counts["inputs"], counts["scored"], counts["quarantine"])
    return Verified(
        *found, len(run["files"]), run["bundle_id"], _shortened(problems), counts["predictions"]
    )


def _shortened(problems: list[str]) -> tuple[str, ...]:
    more = len(problems) - _MOST_PROBLEMS
    return (*problems[:_MOST_PROBLEMS], *([f"and {more:,} more"] if more > 0 else []))


def _read_run(output: str) -> dict[str, Any] | None:
    """run.json, in which all that is compared is of its kind; None if the run is not finished.

    Raises:
        StorageError: it is damaged.
    """
    uri = layout.path(output, layout.RUN)
    try:
        run = tables.read_json(uri)
    except FileNotFoundError:
        return None
    tables.require_known(uri, run, RUN_FORMAT)
    if "files" not in run:
        return None
    with tables.record_read(uri):
        files = {
            str(name): {"rows": int(file["rows"]), "sha256": str(file["sha256"])}
            for name, file in run["files"].items()
        }
        names = ("inputs", "scored", "quarantined", *(("rows",) if "rows" in run else ()))
        counts = {name: int(run[name]) for name in names}
        return {**run, **counts, "files": files, "bundle_id": str(run["bundle_id"])}


def _listing_problems(output: str, run: dict[str, Any]) -> Iterator[str]:
    """Files that run.json names and are not there, or the other way round."""
    named, listed = set(run["files"]), set[str]()
    for kind in layout.ROWS:
        files = tables.list_parquet(layout.path(output, kind))
        listed |= {f"{kind}/{file.rsplit('/', 1)[1]}" for file in files}
    yield from (f"{name} is missing" for name in sorted(named - listed))
    yield from (f"{name} is not named in {layout.RUN}" for name in sorted(listed - named))


def _job_problems(output: str, run: dict[str, Any]) -> Iterator[str]:
    """job.json, the copied bundle and run.json must name one bundle."""
    for name in (layout.JOB, f"{layout.BUNDLE}/{RECORD_FILE}"):
        try:
            other = tables.read_json(storage.join(output, name)).get("bundle_id")
        except (FileNotFoundError, StorageError):
            yield f"{name} is missing or damaged"
            continue
        if other != run["bundle_id"]:
            yield f"{name} names bundle {other}, {layout.RUN} names {run['bundle_id']}"


def _check_shard(
    output: str, index: int, frozen: frozen_inputs.FrozenInputs, run: dict[str, Any]
) -> _Checked:
    """Hashes and row counts of the three files of a shard, and that they hold the same uris."""
    expected = {layout.shard_name("inputs", index): (frozen.rows[index], frozen.sha256[index])}
    for kind in layout.ROWS:
        name = layout.shard_name(kind, index)
        entry = run["files"].get(name, {})
        expected[name] = (entry.get("rows", -1), entry.get("sha256", ""))
    problems, uris, counts = list[str](), dict[str, Column](), dict[str, int]()
    for name, (count, sha256) in expected.items():
        kind = name.partition("/")[0]
        uris[kind], counts[kind] = pa.chunked_array([], pa.string()), 0
        try:
            data = storage.read_bytes(storage.join(output, name))
        except FileNotFoundError:
            problems.append(f"{name} is missing")
            continue
        except OSError as error:
            problems.append(f"{name} cannot be read: {str(error).splitlines()[0]}")
            continue
        if hashlib.sha256(data).hexdigest() != sha256:
            problems.append(f"{name} is not the file that was committed (SHA-256)")
        try:
            table = _decoded(name, data)
        except StorageError as error:
            problems.append(str(error))
            continue
        uris[kind], counts[kind] = table["uri"], table.num_rows
        if table.num_rows != count:
            problems.append(f"{name} has {table.num_rows:,} rows, {count:,} were committed")
        if kind == "predictions":
            strange = set(pc.unique(table["bundle_id"]).to_pylist()) - {run["bundle_id"]}
            problems += [
                f"{name} holds rows of bundle {other}" for other in sorted(strange, key=str)
            ]
            if "face" in table.column_names and not table["face"].null_count:
                uris[kind] = _pictures(table, name, problems)
    counts["scored"] = len(uris["predictions"])
    both = pa.chunked_array([*uris["predictions"].chunks, *uris["quarantine"].chunks], pa.string())
    wanted, got = (_sorted(column) for column in (uris["inputs"], both))
    if not wanted.equals(got):
        problems.append(_difference(index, wanted, got))
    return _Checked(both, counts, problems)


def _decoded(name: str, data: bytes) -> pa.Table:
    """The columns of a file that are looked at.

    Raises:
        StorageError: it is damaged, or they are of another kind.
    """
    kind = name.partition("/")[0]
    with tables.damage_told(name):
        names = pq.read_schema(io.BytesIO(data)).names
    table = tables.decode_table(name, data, [n for n in _COLUMNS[kind] if n in names])
    with tables.damage_told(name):
        if "uri" not in names:
            raise pa.ArrowInvalid("it has no column uri")
        wanted = {"uri": pa.string(), "bundle_id": pa.string(), "face": pa.int32(),
                  "faces": pa.int32()}  # fmt: skip
        schema = pa.schema([(n, wanted[n]) for n in table.column_names])
        return table.cast(schema)


def _pictures(table: pa.Table, name: str, problems: list[str]) -> Column:
    """The uri of each image with faces: rows that follow one another, numbered without a gap."""
    uris: Any = table["uri"].combine_chunks()
    face, faces = table["face"].to_numpy(), table["faces"].to_numpy()
    first = face == 0
    last = np.append(first[1:], True)
    follows = ~first[1:]
    same: Any = pc.equal(uris[1:], uris[:-1]).to_numpy(zero_copy_only=False)
    wrong = np.zeros(len(face), dtype=bool)
    wrong[:1] = ~first[:1]
    wrong[1:] |= follows & ~(same & (face[1:] == face[:-1] + 1) & (faces[1:] == faces[:-1]))
    wrong |= last & (face + 1 != faces)
    if wrong.any():
        example = uris[int(wrong.argmax())].as_py()
        problems.append(f"{name}: the faces of {example!r} are not numbered from 0 without a gap")
    return pa.chunked_array([uris.filter(pa.array(first))], pa.string())


def _sorted(column: Column) -> Any:
    return column.combine_chunks().sort()


def _difference(index: int, wanted: Any, got: Any) -> str:
    counts = collections.Counter(wanted.to_pylist())
    counts.subtract(got.to_pylist())
    lost = [uri for uri, count in counts.items() if count > 0]
    extra = [uri for uri, count in counts.items() if count < 0]
    parts = [
        f"{len(uris):,} inputs {problem}, e.g. {uris[0]!r}"
        for uris, problem in ((lost, "have no row"), (extra, "have a row too many"))
        if uris
    ]
    return f"{layout.shard_file(index)}: {'; '.join(parts)}"


class _SpreadHashes:
    """Hashes of any number of strings, spread over files, to find those that are there twice."""

    def __init__(self, folder: str) -> None:
        self._files = [Path(folder, str(part)) for part in range(_PARTS)]
        for path in self._files:
            path.touch()

    def add(self, strings: Column) -> None:
        hashes = hash_strings(strings)
        for part, path in enumerate(self._files):
            with path.open("ab") as file:
                file.write(hashes[hashes["first"] % _PARTS == part].tobytes())

    def duplicates(self) -> npt.NDArray[np.void]:
        """The hashes that were added more than once."""
        repeated: list[npt.NDArray[np.void]] = []
        for path in self._files:
            hashes = np.sort(np.fromfile(path, dtype=HASH))
            repeated.append(np.unique(hashes[1:][hashes[1:] == hashes[:-1]]))
        return np.concatenate(repeated)


def _name_duplicates(output: str, indices: Iterable[int], twice: npt.NDArray[np.void]) -> str:
    """Find one of the duplicates by name: a second pass, over the inputs alone."""
    example = "?"
    for index in indices:
        uris = tables.read_table(layout.shard(output, layout.INPUTS, index), ["uri"])["uri"]
        known = np.isin(hash_strings(uris)["first"], twice["first"])
        if known.any():
            example = uris[int(known.argmax())].as_py()
            break
    return f"{len(twice):,} uris have more than one row, e.g. {example!r}"
