"""TensorBoard and MLflow hear of every epoch, and stop no training."""

from pathlib import Path
from typing import Any

import pytest

from model.errors import UsageError
from model.presets import preset
from model.runtime import import_tensorflow
from pipelines.training.job import TrainingJob
from pipelines.training.trackers import Trackers, open_trackers
from tests.runs import training_job

ROWS = [
    {"epoch": 1, "train_loss": 3.0, "val_age_mae": 9.0, "images_per_s": 100.0},
    {"epoch": 2, "train_loss": 2.0, "val_age_mae": 8.0, "images_per_s": 110.0},
]
MEASURED = {"test": {"age_mae": {"value": 7.5, "low": 7.0, "high": 8.0, "images": 10}}}


def _job(output: Path, **options: Any) -> TrainingJob:
    return training_job(preset("demo"), "manifest", str(output), **options)


def _scalars(folder: Path) -> dict[tuple[str, int], float]:
    tf: Any = import_tensorflow()
    found: dict[tuple[str, int], float] = {}
    for path in folder.glob("events.out.tfevents.*"):
        for event in (
            tf.compat.v1.Event.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))
        ):
            for value in event.summary.value:
                found[value.tag, event.step] = value.simple_value
    return found


def test_tensorboard_events_lie_beside_the_run(tmp_path: Path) -> None:
    with open_trackers(_job(tmp_path), {}) as trackers:
        for row in ROWS:
            trackers.epoch(row)
        trackers.finish(MEASURED)
    found = _scalars(tmp_path / "tensorboard")
    assert found["train/loss", 2] == 2.0
    assert found["val/age_mae", 1] == 9.0
    assert found["run/images_per_s", 2] == 110.0
    assert found["bundle/test/age_mae", 0] == 7.5


def test_a_resumed_run_goes_on_in_its_mlflow_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    try:
        mlflow.MlflowClient(tracking_uri=uri).search_experiments()
    except Exception:  # mlflow-skinny has no database: its folder store does
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        uri = (tmp_path / "mlruns").as_uri()
    options = _job(tmp_path / "run", mlflow_uri=uri)
    identity = {"seed": 3, "recipe": {"epochs": 2}}
    with pytest.raises(KeyError), open_trackers(options, identity) as trackers:
        trackers.epoch(ROWS[0])
        raise KeyError("the driver is told to stop")
    client = mlflow.MlflowClient(tracking_uri=uri)
    number = client.get_experiment_by_name("facemill").experiment_id
    assert [run.info.status for run in client.search_runs([number])] == ["KILLED"]
    with open_trackers(options, identity) as trackers:
        trackers.epoch(ROWS[1])
        trackers.finish(MEASURED)
    (run,) = client.search_runs([number])
    assert run.info.status == "FINISHED"
    assert run.data.params == {"seed": "3", "recipe.epochs": "2"}
    assert [m.value for m in client.get_metric_history(run.info.run_id, "val_age_mae")] == [9, 8]
    assert run.data.metrics["test_age_mae"] == 7.5


def test_a_server_that_cannot_be_used_is_an_error_before_the_training(tmp_path: Path) -> None:
    options = _job(tmp_path, mlflow_uri="gopher://nowhere")
    with (
        pytest.raises(UsageError, match=r"^`mlflow_uri` gopher://nowhere cannot be used: "),
        open_trackers(options, {}),
    ):
        pass


def test_a_tracker_that_breaks_down_later_stops_no_training(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Broken:
        def epoch(self, row: object) -> None:
            raise ConnectionError("the server is gone")

        def finish(self, metrics: object) -> None:
            raise ConnectionError("the server is gone")

        def close(self) -> None:
            raise ConnectionError("the server is gone")

    trackers = Trackers([Broken()])
    trackers.epoch(ROWS[0])
    trackers.finish({})
    trackers.close()
    assert capsys.readouterr().err == "warning: Broken: the server is gone\n" * 3


def test_a_password_in_the_mlflow_uri_is_refused_and_not_repeated(tmp_path: Path) -> None:
    uri = "https://me:sesame@mlflow.example/"
    options = _job(tmp_path, mlflow_uri=uri)
    with (
        pytest.raises(UsageError, match="MLFLOW_TRACKING_PASSWORD") as caught,
        open_trackers(options, {}),
    ):
        pass
    assert "sesame" not in str(caught.value)
