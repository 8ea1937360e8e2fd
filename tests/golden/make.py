"""Makes the golden files of release 0.1.0: run inside a checkout of it.

    git worktree add /tmp/release v0.1.0 && cd /tmp/release && make setup
    .venv/bin/python .../tests/golden/make.py .../tests/golden/0.1.0

Small outputs of every job that leaves state, two of them half done. All URIs in them lie below
PLACE, where the tests put the files before they use them.
"""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

PLACE = Path("/tmp/facemill-golden")
EPOCH = 1_700_000_000  # of every face: a local file's ETag holds its time


def job(*words: str) -> None:
    """Run a job of the release."""
    subprocess.run([sys.executable, "-m", *words], check=True)


def train(output: str, epochs: int) -> None:
    """Train a network small enough to commit."""
    from jobs import cli
    from model.preprocessing import InputSpec
    from model.presets import preset
    from model.recipes import PlainStack
    from pipelines.training import TrainOptions, train

    cli.quiet_libraries()
    cli.start_ray()
    recipe = dataclasses.replace(
        preset("demo"), network=PlainStack((4, 8), branch_units=8), input=InputSpec(32, 32, "grey"),
        epochs=epochs, global_batch_size=4,
    )  # fmt: skip
    train(TrainOptions(recipe, str(PLACE / "manifest"), output))


def train_and_die(output: Path) -> None:
    """Kill the training, workers and all, once its first checkpoint is whole."""
    command = [sys.executable, __file__, "--train", str(output), "20"]
    process = subprocess.Popen(command, start_new_session=True)
    while not list(output.glob("checkpoints/checkpoint_*/state.json")):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def half_done(finished: Path, output: Path) -> None:
    """What a driver killed after its first shard leaves."""
    shutil.copytree(finished, output)
    (output / "run.json").unlink()
    for kind in ("predictions", "quarantine"):
        for path in sorted((output / kind).iterdir())[1:]:
            path.unlink()


def main() -> None:
    """Fill PLACE and copy it to the folder of the command line."""
    sys.path.insert(0, str(Path.cwd()))
    if sys.argv[1] == "--train":
        train(sys.argv[2], int(sys.argv[3]))
        return
    from pipelines.synthetic import draw_faces

    shutil.rmtree(PLACE, ignore_errors=True)
    faces = PLACE / "faces"
    draw_faces(faces, count=24, seed=5, broken=2)
    for path in faces.iterdir():
        os.utime(path, (EPOCH, EPOCH))
    manifest, bundle = str(PLACE / "manifest"), str(PLACE / "train" / "bundle")
    job("jobs.ingest", "--images", str(faces), "--output", manifest, "--split", "0.5,0.25,0.25")
    subprocess.run([sys.executable, __file__, "--train", str(PLACE / "train"), "3"], check=True)
    train_and_die(PLACE / "train-half")
    score = ("jobs.score", "--images", str(faces), "--bundle", bundle, "--compute", "float32")
    job(*score, "--shard-rows", "8", "--partition-by", "none", "--output", str(PLACE / "score"))
    half_done(PLACE / "score", PLACE / "score-half")
    shutil.rmtree(PLACE / "score-half" / "dataset")
    (PLACE / "score-half" / "dataset.json").unlink()
    job("jobs.evaluate", "--manifest", manifest, "--bundle", bundle, "--split", "all",
        "--output", str(PLACE / "evaluate"))  # fmt: skip
    for path in [*PLACE.rglob("tensorboard"), *PLACE.rglob("decoded")]:
        shutil.rmtree(path)
    shutil.copytree(PLACE, sys.argv[1], dirs_exist_ok=True)


if __name__ == "__main__":
    main()
