"""Decoding apart from the network: the same rows, and a dying decoder costs its image alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from demo.drawn_faces import draw_faces
from model.bundle import Bundle
from model.preprocessing import InputSpec
from pipelines import storage
from pipelines.images import decode_tasks, guarded_decoder
from pipelines.images.decode_tasks import DecodeStage
from pipelines.predictions.schemas import read_predictions, read_quarantine
from pipelines.scoring.rows import decode_entries
from tests.robustness.deadly import DECODER, poisoned
from tests.runs import place_as_on_a_gpu, score, score_options

SPEC = InputSpec(32, 32, "rgb")


@pytest.fixture
def entries(tmp_path: Path) -> list[dict[str, str]]:
    """20 good faces and 3 broken ones."""
    draw_faces(tmp_path / "faces", 20, seed=4, broken=3)
    return [{"uri": str(path)} for path in sorted((tmp_path / "faces").iterdir())]


def test_chunks_come_back_in_order_with_the_pixels_of_this_process(
    entries: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch, ray_session: None
) -> None:
    monkeypatch.setattr(decode_tasks, "CHUNK_IMAGES", 5)
    stage = DecodeStage(guarded_decoder.DECODER, 30.0)
    apart = list(stage(entries, SPEC, 64))
    here = list(decode_entries(entries, SPEC, 64))
    assert len(apart) == 5
    for name in ("crops", "rejected"):
        joined = [item for batch in apart for item in getattr(batch, name)]
        assert joined == [item for batch in here for item in getattr(batch, name)]
    pixels = np.concatenate([batch.pixels for batch in apart])
    np.testing.assert_array_equal(pixels, np.concatenate([batch.pixels for batch in here]))


@pytest.mark.parametrize(("how", "reason"), [("segv", "crashed"), ("hang", "timeout")])
def test_an_image_that_kills_its_decoder_costs_no_other(
    entries: list[dict[str, str]], how: str, reason: str, ray_session: None
) -> None:
    victim = Path(entries[7]["uri"])
    victim.write_bytes(poisoned(victim.read_bytes(), how))
    batches = list(DecodeStage(DECODER, 3.0)(entries, SPEC, 64))
    rejected = {row["uri"]: row["error"] for batch in batches for row in batch.rejected}
    assert rejected[str(victim)] == reason
    assert sum(len(batch.crops) for batch in batches) + len(rejected) == len(entries)


def test_an_ill_store_is_an_error_and_no_row(
    monkeypatch: pytest.MonkeyPatch, ray_session: None
) -> None:
    stage = DecodeStage(guarded_decoder.DECODER, 30.0)
    # Nothing listens there, and the task has no patience.
    monkeypatch.setattr(decode_tasks, "_decode_chunk", _with(AWS_ENDPOINT_URL="http://127.0.0.1:9"))
    with pytest.raises(OSError, match=r"s3://faces/a\.jpg"):
        list(stage([{"uri": "s3://faces/a.jpg"}], SPEC, 64))


def _with(**variables: str) -> object:
    env = {"env_vars": variables | {"FACEMILL_RETRY_S": "1", "AWS_ACCESS_KEY_ID": "x"}}
    return decode_tasks._decode_chunk.options(runtime_env=env)  # pyright: ignore


def test_a_run_with_stages_as_on_a_gpu_gives_the_rows_of_one_on_cores(
    entries: list[dict[str, str]],
    tmp_path: Path,
    untrained: Bundle,
    ray_session: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outputs = [storage.join(str(tmp_path), device) for device in ("cpu", "gpu")]
    score(score_options(images=(str(tmp_path / "faces"),), output=outputs[0]), untrained)
    place_as_on_a_gpu(monkeypatch)
    score(score_options(images=(str(tmp_path / "faces"),), output=outputs[1]), untrained)
    assert read_quarantine(outputs[0]).equals(read_quarantine(outputs[1]))
    one, other = (read_predictions(output).to_pandas() for output in outputs)
    assert len(one) == 20
    # The network takes larger batches there, whose sums some CPUs round otherwise.
    pd.testing.assert_frame_equal(one, other, rtol=1e-5)
