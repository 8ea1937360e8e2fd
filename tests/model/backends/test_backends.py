"""Both engines compute the same network, and each answers a picture alike wherever it stands."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model.backends.quantization import write_float, write_int8
from model.backends.selection import INT8, Compute
from model.bundle import Bundle, load_network
from model.errors import BundleError
from model.predictor import Predictor
from model.tta import Views
from pipelines.bundles.exporting import trial_pictures
from tests.bundles import untrained_bundle, with_engines

FLOAT = Compute("openvino", "float32")


@pytest.fixture
def bundle(untrained: Bundle) -> Bundle:
    return untrained


def test_openvino_computes_what_tensorflow_computes(bundle: Bundle) -> None:
    pixels = trial_pictures(bundle)
    reference = Predictor(bundle).predict(pixels)
    for name, values in Predictor(bundle, FLOAT, threads=1).predict(pixels).items():
        np.testing.assert_allclose(values, reference[name], atol=1e-4)


def test_int8_is_near(bundle: Bundle) -> None:
    pixels = trial_pictures(bundle)
    reference = Predictor(bundle).predict(pixels)
    answers = Predictor(bundle, INT8, threads=1).predict(pixels)
    assert not np.array_equal(answers["p_female"], reference["p_female"])
    np.testing.assert_allclose(answers["p_female"], reference["p_female"], atol=0.03)
    np.testing.assert_allclose(answers["age_years"], reference["age_years"], atol=1.5)


@pytest.mark.parametrize("compute", [FLOAT, INT8], ids=["float32", "int8"])
def test_a_picture_is_answered_alike_wherever_it_stands(bundle: Bundle, compute: Compute) -> None:
    pixels = trial_pictures(bundle)
    order = np.random.default_rng(1).permutation(len(pixels))
    first = Predictor(bundle, compute, 32, threads=1)
    again = Predictor(bundle, compute, 16, threads=1)
    wanted = first.predict(pixels)
    for found in (first.predict(pixels[order]), again.predict(pixels[order])):
        for name, values in wanted.items():
            np.testing.assert_array_equal(found[name], values[order])


@pytest.mark.parametrize("views", [1, 2])
def test_views_are_averaged_by_both_engines(bundle: Bundle, views: Views) -> None:
    pixels = trial_pictures(bundle)[:8]
    one, other = (
        Predictor(bundle, c, 8, views=views) for c in (Compute("tensorflow", "float32"), FLOAT)
    )
    for name, values in one.predict(pixels).items():
        np.testing.assert_allclose(other.predict(pixels)[name], values, atol=1e-4)


@pytest.mark.parametrize("name", ["facemill-photo", "levi-hassner-age"])
def test_all_kinds_of_layers_can_be_computed_by_openvino(name: str, tmp_path: Path) -> None:
    plain = untrained_bundle(tmp_path / "plain", name=name)
    bundle = with_engines(plain, tmp_path / "whole")
    pixels = trial_pictures(bundle)[:16]
    reference = Predictor(bundle, batch_size=16).predict(pixels)
    for column, values in Predictor(bundle, FLOAT, 16).predict(pixels).items():
        np.testing.assert_allclose(values, reference[column], rtol=1e-3, atol=1e-3)


def test_equal_networks_are_equal_files_whatever_was_made_before(
    bundle: Bundle, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_float(load_network(bundle), tmp_path / name)
        write_int8(trial_pictures(bundle), tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_openvino_needs_no_tensorflow(bundle: Bundle) -> None:
    code = (
        "import sys; from model.bundle import read_bundle; from model.predictor import Predictor; "
        "from model.backends.selection import INT8; import numpy as np; "
        f"bundle = read_bundle({str(bundle.folder)!r}); "
        "Predictor(bundle, INT8).predict(np.zeros((1, *bundle.input.shape), np.uint8)); "
        "print([name for name in ('tensorflow', 'keras', 'nncf', 'ray') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_neither_making_nor_computing_reports_its_use(bundle: Bundle, tmp_path: Path) -> None:
    home, made = tmp_path / "home", tmp_path / "made"
    home.mkdir()
    made.mkdir()
    code = (
        "import sys; from pathlib import Path; from model.bundle import load_network, read_bundle; "
        "from model.backends.quantization import write_float, write_int8; "
        "from model.predictor import Predictor; from model.backends.selection import INT8; "
        "import numpy as np; "
        f"bundle = read_bundle({str(bundle.folder)!r}); made = Path({str(made)!r}); "
        "pixels = np.zeros((4, *bundle.input.shape), np.uint8); "
        "write_float(load_network(bundle), made); write_int8(pixels, made); "
        "Predictor(bundle, INT8).predict(pixels); "
        "print(sys.modules.get('openvino_telemetry'))"
    )
    environment = {k: v for k, v in os.environ.items() if k != "CI"} | {"HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.splitlines()[-1] == "None"
    assert not (home / "intel").exists()


def test_a_network_that_openvino_cannot_read_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    (made / "openvino.xml").write_text("<net>")
    (made / "openvino.bin").write_bytes(b"")
    with pytest.raises(BundleError, match=r"openvino\.xml cannot be loaded by OpenVINO"):
        Predictor(dataclasses.replace(bundle, folder=made), FLOAT)
