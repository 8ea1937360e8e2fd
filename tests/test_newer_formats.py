"""What a newer facemill wrote is refused in a sentence that names the file and the cure."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from model.bundle import read_bundle
from model.checksums import sealed
from model.errors import FacemillError
from pipelines.manifests.manifest import read_manifest
from pipelines.manifests.sources import open_source
from pipelines.predictions.dataset import Partitioning, write_dataset
from pipelines.predictions.verification import verify
from pipelines.training.checkpoints import load_state
from tests.runs import plan_of, score_options

GOLDEN = Path(__file__).parent / "golden" / "0.1.0"


def claim_score(place: Path) -> object:
    options = score_options(images=(str(place),), output=str(place / "score"))
    source = open_source(options.images, None)
    return plan_of(options, read_bundle(GOLDEN / "train" / "bundle"), source)


CASES: dict[str, tuple[str, str, object, Callable[[Path], object]]] = {
    "job.json": ("score/job.json", "format", 2, claim_score),
    "run.json": ("score/run.json", "format", 3, lambda place: verify(str(place / "score"))),
    "dataset.json": (
        "score/dataset.json", "format", 2,
        lambda place: write_dataset(str(place / "score"), Partitioning()),
    ),
    "manifest.json": (
        "manifest/manifest.json", "format", 2,
        lambda place: read_manifest(str(place / "manifest")),
    ),
    "bundle.json": (
        "train/bundle/bundle.json", "bundle_version", 3,
        lambda place: read_bundle(place / "train" / "bundle"),
    ),
    "checkpoint": ("train-half/checkpoints/*/state.json", "shards_seen", [1], load_state),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_newer_format_is_refused(name: str, tmp_path: Path) -> None:
    pattern, key, value, read = CASES[name]
    shutil.copytree(GOLDEN, tmp_path, dirs_exist_ok=True)
    (path,) = tmp_path.glob(pattern)
    record = {**json.loads(path.read_text()), key: value}
    path.write_bytes(sealed(record) if name == "bundle.json" else json.dumps(record).encode())
    with pytest.raises(FacemillError, match=rf"{path.parent}.* newer "):
        read(path.parent if name == "checkpoint" else tmp_path)
