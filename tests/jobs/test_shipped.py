"""What `jobs.score` uses when no bundle is given: small, with its card, and it reads real faces."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobs import score
from model.labels import GENDERS
from pipelines.bundles.opening import open_bundle
from pipelines.manifests.labels import utkface


def test_the_shipped_bundle_is_small_and_its_card_is_its_own() -> None:
    bundle = open_bundle(None)
    assert sum(path.stat().st_size for path in bundle.folder.iterdir()) <= 16 * 2**20
    card = (bundle.folder / "MODEL_CARD.md").read_text()
    assert f"Bundle {bundle.id}, preprocessing {bundle.input.hash}" in card
    step = bundle.record["training"]
    while step:  # each step of the training, back to random weights
        assert f"| {step['run_id']} |" in card and f"| {step['seconds']} |" in card
        assert ("| " + step["command"] if "command" in step else '"preset": "') in card
        step = step.get("start_training")
    for words in ("Not for age gating", "not for identifying anybody", "non-commercial research"):
        assert words in card


@pytest.mark.usefixtures("ray_session")
def test_scoring_without_a_bundle_says_which_it_uses_and_reads_real_faces(
    utkface_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = sorted(path.name for path in utkface_dir.iterdir())
    chosen = np.random.default_rng(0).choice(names, 300, replace=False)
    (tmp_path / "faces").mkdir()
    for name in chosen:
        os.link(utkface_dir / name, tmp_path / "faces" / name)
    score.main(["--images", str(tmp_path / "faces"), "--output", str(tmp_path / "scored")])
    bundle = open_bundle(None)
    assert f"using the shipped bundle {bundle.name} ({bundle.id})" in capsys.readouterr().out
    rows = pd.read_parquet(tmp_path / "scored" / "predictions")
    assert len(rows) == 300
    labels = [utkface.parse_name(Path(uri).name) for uri in rows["uri"]]
    ages = [found.age_years for found in labels if not isinstance(found, str)]
    genders = [GENDERS[found.gender] for found in labels if not isinstance(found, str)]
    # A floor under train, val and test mixed: docs/results.md has the measurement.
    assert np.abs(rows["age_years"] - ages).mean() < 5.5
    assert (rows["gender"] == genders).mean() > 0.9
