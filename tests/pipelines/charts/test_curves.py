"""Training curves: a chart for each measure of both splits, the same in a file and on a page."""

import io
from typing import Any

from PIL import Image

from pipelines.charts.curves import curves, curves_png

HISTORY: list[dict[str, Any]] = [
    {
        "epoch": epoch, "seconds": 3.0,
        **{f"{split}_{name}": value / epoch for split in ("train", "val") for name, value in (
            ("loss", 3.0), ("gender_loss", 1.0), ("gender_accuracy", 0.5), ("age_loss", 2.0),
            ("age_mae", 8.0),
        )},
        "train_only": 1.0,
    }
    for epoch in (1, 2, 3)
]  # fmt: skip


def test_each_head_has_its_loss_and_score_and_the_total_comes_last() -> None:
    made = curves(HISTORY)
    titles = ["gender loss", "gender accuracy", "age loss", "age mean absolute error", "loss"]
    assert [chart.title for chart in made] == titles
    assert made[0].columns == ("epoch", "train", "val")
    assert made[0].rows == [(1, "1", "1"), (2, "0.5", "0.5"), (3, "0.3333", "0.3333")]
    assert made[3].description.endswith("at the end 2.67 on train, 2.67 on val.")


def test_curves_are_a_picture_from_the_first_epoch_on_and_none_before_it() -> None:
    for epochs in (1, 3):
        picture = Image.open(io.BytesIO(curves_png(HISTORY[:epochs], "demo")))
        assert picture.size == (2 * 960, 2 * (3 * 320 + 30))
    assert curves([]) == []


def test_a_network_without_a_val_split_has_curves_of_train() -> None:
    alone = [{k: v for k, v in row.items() if not k.startswith("val_")} for row in HISTORY]
    made = curves(alone)
    assert len(made) == 6
    assert made[0].columns == ("epoch", "train")
    assert made[0].description.endswith("at the end 0.333 on train.")
