"""A grown bucket: only what is new or changed is pending, and nothing is there twice."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from model.bundle import Bundle
from pipelines import storage
from pipelines.predictions import frozen_inputs, layout
from pipelines.predictions.dataset import Partitioning, write_dataset
from pipelines.predictions.verification import verify
from pipelines.scoring import increment
from pipelines.scoring.increment import Growth, grow
from pipelines.storage import tables
from tests.runs import finish_run, finished_run, write_shard


def _listing(*numbers: int, changed: int | None = None) -> pa.Table:
    return pa.table(
        {
            "uri": [f"/faces/{i}.jpg" for i in numbers],
            "etag": [f"v{2 if i == changed else 1}-{i}" for i in numbers],
            "bytes": [100 + i for i in numbers],
        }
    )


@pytest.fixture
def output(tmp_path: Path, untrained: Bundle) -> str:
    """A finished run of inputs 0-9 in shards of 4, 4 and 2."""
    finished_run(str(tmp_path / "out"), untrained, _listing(*range(10)))
    return str(tmp_path / "out")


def _frozen(output: str) -> frozen_inputs.FrozenInputs:
    frozen = frozen_inputs.load_frozen(output)
    assert frozen is not None
    return frozen


def _pending(output: str) -> list[int]:
    done = frozen_inputs.committed(output)
    return [index for index in range(len(_frozen(output).rows)) if index not in done]


def test_an_unchanged_listing_leaves_a_finished_run_finished(output: str) -> None:
    frozen = _frozen(output)
    grown, found = grow(output, frozen, [_listing(*range(10))], 4)
    assert (grown, found) == (frozen, Growth(0, 0, 0))
    assert _pending(output) == []
    assert verify(output).problems == ()


def test_new_inputs_become_new_shards(output: str, untrained: Bundle) -> None:
    parts = [_listing(*range(7)), _listing(*range(7, 15))]
    grown, found = grow(output, _frozen(output), parts, 4)
    assert found == Growth(5, 0, 0)
    assert grown.rows == (4, 4, 2, 4, 1)
    assert _pending(output) == [3, 4]
    for index in (3, 4):
        uris = [row["uri"] for row in grown.read(index)]
        write_shard(output, untrained, index, uris, [])
    finish_run(output, untrained)
    assert verify(output).problems == ()
    assert verify(output).inputs == 15


def test_a_changed_input_puts_its_own_shard_back(output: str) -> None:
    listing = _listing(*range(10), changed=5)
    grown, found = grow(output, _frozen(output), [listing], 4)
    assert found == Growth(0, 1, 0)
    assert _pending(output) == [1]
    assert [row["etag"] for row in grown.read(1)] == ["v1-4", "v2-5", "v1-6", "v1-7"]
    assert grow(output, grown, [listing], 4) == (grown, Growth(0, 0, 0))


def test_what_says_finished_is_gone_before_a_file_that_it_counts(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables.write_json(f"{output}/{layout.DATASET_RECORD}", {"files": {}})
    deleted: list[str] = []
    real = storage.delete

    def noted(uri: str) -> None:
        deleted.append(uri.removeprefix(f"{output}/"))
        real(uri)

    monkeypatch.setattr(storage, "delete", noted)
    grow(output, _frozen(output), [_listing(*range(10), changed=5)], 4)
    assert deleted[:3] == ["run.json", layout.DATASET_RECORD, "predictions/shard-00001.parquet"]


def test_an_increment_starts_with_small_shards_again(tmp_path: Path) -> None:
    first = frozen_inputs.freeze(str(tmp_path), [_listing(*range(10))], fixed_rows=1)
    assert len(first.rows) == 10  # the eleventh shard of one long listing would hold 1,024
    grown, _ = grow(str(tmp_path), first, [_listing(*range(1500))])
    assert grown.rows[10:] == (512, 512, 466)


def test_deleted_inputs_are_reported_and_keep_their_rows(output: str) -> None:
    frozen = _frozen(output)
    grown, found = grow(output, frozen, [_listing(0, 1, 3, 4, 5, 6, 7, 8)], 4)
    assert (grown, found) == (frozen, Growth(0, 0, 2))
    gone = tables.read_table(f"{output}/{layout.DELETED}")["uri"].to_pylist()
    assert gone == ["/faces/2.jpg", "/faces/9.jpg"]
    grow(output, frozen, [_listing(*range(10))], 4)
    assert not Path(output, layout.DELETED).exists()


def test_what_must_be_forgotten_leaves_no_row_and_no_name(output: str, untrained: Bundle) -> None:
    storage.write_bytes(f"{output}/dataset/part-0.parquet", b"rows of everybody")
    listing = _listing(0, 1, 3, 4, 5, 6, 7)  # without 2, 8 and 9
    grown, found = grow(output, _frozen(output), [listing], 4, drop_deleted=True)
    assert found == Growth(0, 0, 3)
    assert grown == _frozen(output) and grown.rows == (3, 4, 0)
    assert _pending(output) == [0, 2]
    for index in (0, 2):
        names = [row["uri"] for row in grown.read(index)]
        write_shard(output, untrained, index, names, [])
    finish_run(output, untrained)
    assert verify(output).problems == ()
    for path in Path(output).rglob("*.parquet"):
        uris = tables.read_table(str(path))["uri"].to_pylist()
        assert not {f"/faces/{i}.jpg" for i in (2, 8, 9)} & {*uris}, path
    assert not Path(output, "dataset").exists()


def test_a_driver_that_died_while_it_forgot_forgets_all_the_same(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing, frozen = _listing(0, 1, 3, 4, 5, 6, 7), _frozen(output)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(frozen_inputs, "write_frozen", dies)
        grow(output, frozen, [listing], 4, drop_deleted=True)
    assert increment.is_unfinished(output)
    grown, _ = grow(output, frozen, [listing], 4, drop_deleted=True)
    assert grown.rows == (3, 4, 0) and grown == _frozen(output)


def test_a_driver_that_died_while_the_list_grew_lists_again(output: str) -> None:
    def dying() -> Iterator[pa.Table]:
        yield _listing(*range(12))
        raise KeyboardInterrupt

    frozen = _frozen(output)
    with pytest.raises(KeyboardInterrupt):
        grow(output, frozen, dying(), 1)
    assert increment.is_unfinished(output)
    assert _frozen(output) == frozen
    grown, found = grow(output, frozen, [_listing(*range(12))], 1)
    assert (found.added, grown.total) == (2, 12)
    assert not increment.is_unfinished(output)


def test_a_driver_that_died_between_a_changed_shard_and_the_record_loses_nothing(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing, frozen = _listing(*range(10), changed=5), _frozen(output)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(frozen_inputs, "write_frozen", dies)
        grow(output, frozen, [listing], 4)
    assert increment.is_unfinished(output)
    grown, _ = grow(output, frozen, [listing], 4)
    assert _pending(output) == [1]
    assert grown == _frozen(output)
    assert grown.sha256 != frozen.sha256


def test_what_would_grow_is_told_and_nothing_is_written(output: str) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in Path(output).rglob("*"))
    listing = _listing(*range(1, 16), changed=5)
    found, again, fresh = increment.preview(_frozen(output), [listing], 4)
    assert (found, again, fresh) == (Growth(6, 1, 1), {1}, 2)
    assert sorted((path, path.stat().st_mtime_ns) for path in Path(output).rglob("*")) == before


def test_where_nothing_is_to_be_forgotten_the_data_set_stays(output: str) -> None:
    record = write_dataset(output, Partitioning())
    _, found = grow(output, _frozen(output), [_listing(*range(10))], 4, drop_deleted=True)
    assert found == Growth(0, 0, 0)
    assert tables.read_json(layout.path(output, layout.DATASET_RECORD)) == record
    for name in record["files"]:
        assert storage.exists(layout.path(output, name))
