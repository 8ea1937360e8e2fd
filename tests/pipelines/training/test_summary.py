"""What a person is told of a training: its cost counts the workers that there were."""

import dataclasses
from typing import Any

from model.presets import preset
from pipelines.training.plan import Trained
from pipelines.training.summary import of_training
from tests.runs import training_job

ROW = {"seconds": 1800.0, "images_per_s": 100.0, "data_wait_share": 0.1, "workers": 2.0}


def told(*rows: dict[str, float], cpus: int = 4, **options: Any) -> dict[str, object]:
    history = tuple({**row, "epoch": n, "val_loss": 1.0 / n} for n, row in enumerate(rows, 1))
    rejects = ("/a.jpg: truncated",)
    trained = Trained("/o/bundle", "abc", history, rejects, cpus, len(history))
    recipe = dataclasses.replace(preset("demo"), epochs=2)
    job = training_job(recipe, "/m", "/o", workers=2, **options)
    collapsed = dataclasses.replace(trained, note="no better than a constant: …")
    assert ("note", collapsed.note) in of_training(job, collapsed)
    rows = of_training(job, trained)
    assert "note" not in dict(rows)
    return dict(rows)


def test_the_best_epoch_the_speed_and_the_cost_are_told() -> None:
    slow = {**ROW, "images_per_s": 50.0, "data_wait_share": 0.3}
    found = told(ROW, slow)
    assert found["epochs"] == "2, best by val loss: 2"
    assert found["val_loss"] == "0.5000"
    assert found["speed"] == "75 images/s, 20.0% of the time waiting for data"
    assert found["cost"] == "8.00 core hours of training steps"  # 2 halves of an hour, 2 x 4 cores
    assert found["not decodable"] == "1 images skipped"
    assert found["bundle"] == "/o/bundle (abc)"
    assert found["curves"] == "/o/curves.png"


def test_an_elastic_group_that_had_shrunk_cost_less_and_a_gpu_is_one_whatever_its_cores() -> None:
    assert told(ROW, {**ROW, "workers": 1.0})["cost"] == "6.00 core hours of training steps"
    assert told(ROW, ROW, device="gpu")["cost"] == "2.00 GPU hours of training steps"


def test_rows_of_before_there_were_shares_and_sizes_are_told_too() -> None:
    old = {name: ROW[name] for name in ("seconds", "images_per_s")}
    found = told(old)
    assert found["epochs"] == "1 of 2, stopped early, best by val loss: 1"
    assert found["cost"] == "4.00 core hours of training steps"
    assert str(found["speed"]).endswith("0.0% of the time waiting for data")
