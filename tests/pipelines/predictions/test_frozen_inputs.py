"""The frozen list of inputs."""

from pathlib import Path

import pyarrow as pa
import pytest

from model.errors import ManifestError
from pipelines.predictions import frozen_inputs


def _parts(*sizes: int) -> list[pa.Table]:
    start, parts = 0, []
    for size in sizes:
        uris = [f"/faces/{i}.jpg" for i in range(start, start + size)]
        parts.append(pa.table({"uri": uris, "bytes": list(range(size))}))
        start += size
    return parts


def test_shards_hold_every_input_once_and_in_order(tmp_path: Path) -> None:
    frozen = frozen_inputs.freeze(str(tmp_path), _parts(3, 0, 11, 1), fixed_rows=4)
    assert frozen.rows == (4, 4, 4, 3)
    read = [row["uri"] for index in range(4) for row in frozen.read(index)]
    assert read == [f"/faces/{i}.jpg" for i in range(15)]


def test_shards_grow_so_that_small_runs_balance_and_huge_ones_make_few_files() -> None:
    assert [frozen_inputs.shard_rows(i) for i in (0, 7, 8, 16, 10_000)] == [
        512,
        512,
        1024,
        2048,
        50_000,
    ]
    assert frozen_inputs.shard_rows(3, 7) == 7


def test_an_unfinished_freeze_counts_as_none(tmp_path: Path) -> None:
    frozen = frozen_inputs.freeze(str(tmp_path), _parts(5), fixed_rows=2)
    assert frozen_inputs.load_frozen(str(tmp_path)) == frozen
    (tmp_path / "inputs" / "frozen.json").unlink()
    assert frozen_inputs.load_frozen(str(tmp_path)) is None


def test_nothing_to_score_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        ManifestError, match=r"^there is nothing to score: the input lists no file$"
    ):
        frozen_inputs.freeze(str(tmp_path), _parts(0))


def test_what_is_read_in_one_piece_stays_in_one_shard() -> None:
    units = [None, None, "a", "a", "a", "a", "a", "b", "b", None, "c"]
    rows = pa.table({"uri": [f"/{i}" for i in range(11)], "unit": units})
    for parts in ([rows], [rows.slice(0, 4), rows.slice(4, 5), rows.slice(9)]):
        shards = [shard["uri"].to_pylist() for shard in frozen_inputs.regroup(parts, 3)]
        assert [len(shard) for shard in shards] == [2, 5, 3, 1]
        assert [uri for shard in shards for uri in shard] == rows["uri"].to_pylist()
        assert "unit" not in next(frozen_inputs.regroup(parts, 3)).column_names
