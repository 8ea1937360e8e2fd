"""`python -m jobs.demo`, and the jobs that a person may start on what it leaves, as processes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.bundle import read_bundle
from pipelines.storage import tables

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def ended(*arguments: object) -> str:
    """What a job printed on stdout; its libraries have said nothing that looks like a failure."""
    command = [sys.executable, "-m", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a small demo leaves."""
    folder = tmp_path_factory.mktemp("demo")
    said = ended("jobs.demo", "--output", folder, "--count", "220", "--epochs", "2")
    for name in ("ingest", "train", "evaluate", "score", "report"):
        assert f"\n$ python -m jobs.{name} " in said
    assert (folder / "report.html").is_file()
    return folder


def test_the_demo_leaves_a_bundle_predictions_and_a_photograph_with_its_face_drawn(
    demo: Path,
) -> None:
    assert len(read_bundle(demo / "train" / "bundle").record["history"]) == 2
    proof = ended("jobs.verify", "--output", demo / "score")
    assert "inputs  226 = 220 scored + 6 quarantined" in proof
    with (
        Image.open(demo / "portrait.png") as before,
        Image.open(demo / "portrait-found.jpg") as now,
    ):
        assert before.size == now.size
        changed = abs(np.asarray(before.convert("RGB")).astype(int) - np.asarray(now))
    assert (changed.max(axis=2) > 100).mean() > 0.002  # the box


def test_calibrate_report_and_export_take_what_the_demo_leaves(demo: Path, tmp_path: Path) -> None:
    bundle = demo / "train" / "bundle"
    ended(
        "jobs.calibrate", "--bundle", bundle, "--manifest", demo / "manifest",
        "--output", tmp_path / "calibrated",
    )  # fmt: skip
    assert read_bundle(tmp_path / "calibrated").record["calibration"]["split"] == "val"
    ended(
        "jobs.report", "--predictions", demo / "score", "--labels", demo / "manifest",
        "--output", tmp_path / "report.html", "--json", tmp_path / "report.json",
    )  # fmt: skip
    assert tables.read_json(str(tmp_path / "report.json"))["counts"]["scored"] == 220
    ended("jobs.export", "--bundle", bundle, "--output", tmp_path / "exported")
    assert (tmp_path / "exported" / "network.onnx").exists()
