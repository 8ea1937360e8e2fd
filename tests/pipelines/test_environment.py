"""A time in the environment is a number of seconds, or a sentence."""

import pytest

from model.errors import UsageError
from pipelines.environment import seconds


def test_a_time_is_read_and_has_a_usual_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEMILL_RESIZE_S", raising=False)
    assert seconds("FACEMILL_RESIZE_S", 60) == 60
    monkeypatch.setenv("FACEMILL_RESIZE_S", "0.5")
    assert seconds("FACEMILL_RESIZE_S", 60) == 0.5


@pytest.mark.parametrize("text", ["a minute", "-1", "nan", "inf"])
def test_what_is_no_time_is_one_sentence(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEMILL_RESIZE_S", text)
    with pytest.raises(UsageError) as error:
        seconds("FACEMILL_RESIZE_S", 60)
    assert str(error.value) == (
        f"FACEMILL_RESIZE_S={text!r} must be a number of seconds, 0 or more, such as 60"
    )
