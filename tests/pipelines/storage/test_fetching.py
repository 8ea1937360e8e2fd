"""What is wrong with one object is a row; what is wrong with the bucket stops the shard."""

from pathlib import Path

import pytest

from pipelines import storage
from pipelines.storage import fetching, local
from pipelines.storage.fetching import ReadFailure, fetch, read_ahead


def test_a_denial_is_a_row_only_while_the_bucket_is_readable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shut: set[str] = {"s3://witness-bucket/secret.jpg"}

    def read(uri: str) -> bytes:
        if uri in shut:
            raise PermissionError(f"access to {uri} is denied")
        return b"image"

    monkeypatch.setattr(fetching, "get_object", read)
    with pytest.raises(PermissionError):
        fetch({"uri": "s3://witness-bucket/secret.jpg"})
    assert fetch({"uri": "s3://witness-bucket/good.jpg"}) == b"image"
    denied = fetch({"uri": "s3://witness-bucket/secret.jpg"})
    assert isinstance(denied, ReadFailure)
    assert denied.reason == "denied"
    shut.add("s3://witness-bucket/good.jpg")  # the key is revoked in the middle of a run
    with pytest.raises(PermissionError):
        fetch({"uri": "s3://witness-bucket/secret.jpg"})


def test_a_first_object_that_is_denied_is_a_row_where_another_of_its_shard_can_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(uri: str) -> bytes:
        if uri.endswith(("/0.jpg", "/1.jpg")) or "shut" in uri:
            raise PermissionError(f"{uri}: it has a key of its own")
        return b"image"

    monkeypatch.setattr(fetching, "get_object", read)
    rows = list(fetching.fetch_all([{"uri": f"s3://some/{n}.jpg"} for n in range(5)]))
    assert [getattr(row, "reason", row) for row in rows] == ["denied"] * 2 + [b"image"] * 3
    assert str(rows[0]) == "s3://some/0.jpg: it has a key of its own"
    with pytest.raises(PermissionError):
        list(fetching.fetch_all([{"uri": f"s3://shut/{n}.jpg"} for n in range(5)]))


def test_read_ahead_keeps_order_and_holds_only_a_few() -> None:
    asked: list[int] = []

    def read(number: int) -> int:
        asked.append(number)
        return number

    results = read_ahead(read, iter(range(1000)), threads=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert len(asked) <= 3 + 2 * 2
    assert list(results) == list(range(3, 1000))


def _failure(entry: dict[str, object]) -> ReadFailure:
    found = fetch(entry)
    assert isinstance(found, ReadFailure)
    return found


def test_a_file_larger_than_an_image_is_a_row_and_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "film.jpg"
    with open(path, "wb") as file:
        file.truncate(fetching.MOST_BYTES + 1)

    def read(*_: object) -> bytes:
        raise AssertionError("it was read")

    monkeypatch.setattr(storage, "read_bytes", read)
    monkeypatch.setattr(local, "read_up_to", read)
    monkeypatch.setattr(fetching, "get_object", read)
    listed = {"bytes": 50_000_000_000}
    for entry in (
        {"uri": str(path)},
        {"uri": "s3://faces/film.jpg", **listed},
        {"uri": "/faces.tar#film.jpg", "offset": 512, **listed},
    ):
        assert _failure(entry).reason == "file_too_large"


def test_an_object_that_is_larger_than_was_listed_is_not_read(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.write_bytes(f"{bucket}/grown.jpg", b"x" * 101)
    assert fetch({"uri": f"{bucket}/grown.jpg"}) == b"x" * 101
    monkeypatch.setattr(fetching, "MOST_BYTES", 100)
    failure = _failure({"uri": f"{bucket}/grown.jpg", "bytes": 5})
    assert (failure.reason, "has 101 bytes" in str(failure)) == ("file_too_large", True)


@pytest.mark.parametrize(
    "key", ["a//b.jpg", "a/../b.jpg", "./b.jpg", "a\nb.jpg", "a.jpg/", "/a.jpg"]
)
def test_a_key_that_the_client_cannot_ask_for_is_a_row(key: str) -> None:
    assert _failure({"uri": f"s3://faces/{key}"}).reason == "bad_key"
