"""What is wrong with one object is a row; what is wrong with the bucket stops the shard."""

import pytest

from pipelines import storage
from pipelines.fetching import ReadFailure, fetch, read_ahead


def test_a_denial_is_a_row_only_while_the_bucket_is_readable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shut: set[str] = {"s3://witness-bucket/secret.jpg"}

    def read(uri: str, *_: object) -> bytes:
        if uri in shut:
            raise PermissionError(f"access to {uri} is denied")
        return b"image"

    monkeypatch.setattr(storage, "read_bytes", read)
    with pytest.raises(PermissionError):
        fetch({"uri": "s3://witness-bucket/secret.jpg"})
    assert fetch({"uri": "s3://witness-bucket/good.jpg"}) == b"image"
    denied = fetch({"uri": "s3://witness-bucket/secret.jpg"})
    assert isinstance(denied, ReadFailure)
    assert denied.reason == "denied"
    shut.add("s3://witness-bucket/good.jpg")  # the key is revoked in the middle of a run
    with pytest.raises(PermissionError):
        fetch({"uri": "s3://witness-bucket/secret.jpg"})


def test_read_ahead_keeps_order_and_holds_only_a_few() -> None:
    asked: list[int] = []

    def read(number: int) -> int:
        asked.append(number)
        return number

    results = read_ahead(read, iter(range(1000)), threads=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert len(asked) <= 3 + 2 * 2
    assert list(results) == list(range(3, 1000))
