"""Views: the crops of Levi & Hassner 2015, and the mean of what the network says of them."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from model import heads
from model.bundle import Bundle, write_bundle
from model.errors import UsageError
from model.networks import build_network
from model.predictor import Predictor
from model.preprocessing import InputSpec
from model.recipes import LeviHassner, PlainStack
from model.tta import averaged

SIDE, CROP = 80, 75  # corners 0 and 5, centre 2
PIXELS = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)


def bundle(folder: Path, network: Any) -> Bundle:
    spec = InputSpec(SIDE, SIDE, "rgb")
    keras.utils.set_random_seed(1)
    built = build_network(network, spec.shape, [heads.GENDER])
    record = {"crop": network.crop} if isinstance(network, LeviHassner) else {}
    return write_bundle(
        folder, built, name="tiny", input_spec=spec, heads=(heads.GENDER,),
        details={"recipe": {"network": record}},
    )  # fmt: skip


@pytest.fixture(scope="module")
def cropping(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle(tmp_path_factory.mktemp("cropping"), LeviHassner(crop=CROP, units=8))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle(tmp_path_factory.mktemp("whole"), PlainStack((4, 4), branch_units=8))


def centre(pixels: Any) -> Any:
    """What the network's own first layer sees."""
    return np.asarray(keras.layers.CenterCrop(CROP, CROP)(np.asarray(pixels, dtype=np.float32)))


def test_ten_views_are_the_corners_the_centre_and_their_mirror_images(cropping: Bundle) -> None:
    seen: list[Any] = []

    def network(view: Any) -> dict[str, Any]:
        seen.append(centre(view))
        return {"sum": seen[-1].sum(axis=(1, 2, 3))}

    result = averaged(network, cropping, 10)(PIXELS)
    wanted = [
        PIXELS[:, top : top + CROP, left : left + CROP]
        for top, left in ((0, 0), (0, 5), (5, 0), (5, 5), (2, 2))
    ]
    wanted += [crop[:, :, ::-1] for crop in wanted]
    assert sorted(view.tobytes() for view in seen) == sorted(
        crop.astype(np.float32).tobytes() for crop in wanted
    )
    means = np.mean([crop.sum(axis=(1, 2, 3), dtype=np.float64) for crop in wanted], axis=0)
    np.testing.assert_allclose(result["sum"], means, rtol=1e-5)


@pytest.mark.parametrize("views", [1, 2])
def test_two_views_are_the_picture_and_its_mirror_image(whole: Bundle, views: Any) -> None:
    one = Predictor(whole, batch_size=4)
    plain, mirrored = (one.predict(p)["p_female"] for p in (PIXELS, PIXELS[:, :, ::-1]))
    assert not np.allclose(plain, mirrored, rtol=1e-5)
    found = Predictor(whole, batch_size=4, views=views).predict(PIXELS)["p_female"]
    wanted = plain if views == 1 else (plain + mirrored) / 2
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_ten_views_compile_and_change_what_the_network_says(cropping: Bundle) -> None:
    one, ten = (Predictor(cropping, batch_size=4, views=v).predict(PIXELS) for v in (1, 10))
    assert ten["p_female"].shape == (3,)
    assert not np.array_equal(one["p_female"], ten["p_female"])


def test_ten_views_of_a_network_that_takes_the_whole_picture_are_refused(whole: Bundle) -> None:
    with pytest.raises(UsageError) as error:
        Predictor(whole, views=10)
    assert str(error.value) == (
        "`tta` 10 takes five crops, and tiny takes whole images: choose 1 or 2"
    )
