"""`ray job submit` against a head and two workers: the same commands, over S3, through losses.

Each behaviour is one test; the runs they look at are shared.
"""

import dataclasses
import re
import time
from collections.abc import Callable, Mapping
from itertools import groupby, pairwise
from pathlib import Path

import pytest

from pipelines import storage
from pipelines.predictions import frozen_inputs
from pipelines.predictions.verification import verify
from pipelines.storage import tables
from tests.cluster.nodes import ROOT, LocalCluster, local_cluster
from tests.runs import linked_faces
from tests.s3_server import S3Server

pytestmark = [pytest.mark.slow, pytest.mark.s3, pytest.mark.timeout(600)]
EPOCHS = 40


@dataclasses.dataclass(frozen=True)
class Training:
    """A finished training in which a node was killed after the first epochs."""

    logs: str
    output: str


@pytest.fixture(scope="module")
def manifest(cluster: LocalCluster, store: str, settings: Mapping[str, str]) -> str:
    job = cluster.submit(
        "jobs.ingest", "--images", f"{store}/faces", "--output", f"{store}/manifest",
        env_vars=settings,
    )  # fmt: skip
    assert "60 = 60 manifest + 0 rejects" in cluster.succeed(job)
    return f"{store}/manifest"


@pytest.fixture(scope="module")
def training(
    cluster: LocalCluster, store: str, manifest: str, settings: Mapping[str, str]
) -> Training:
    job = cluster.submit(
        "jobs.train", "--manifest", manifest, "--output", f"{store}/train", "--preset", "demo",
        "--epochs", str(EPOCHS), "--workers", "2", "--min-workers", "1",
        "--cpus-per-worker", "1", env_vars={**settings, "FACEMILL_RESIZE_S": "1"},
    )  # fmt: skip

    def epochs_of(workers: int) -> int:
        return cluster.logs(job).count(f"  {workers} of 2 workers")

    # Two of each: the checkpoint of an epoch that is just over may be lost with the group.
    cluster.while_it_runs(job, lambda: epochs_of(2) > 1, "two epochs of two workers")
    cluster.kill_node(cluster.workers[0])
    (left,) = cluster.workers
    before = epochs_of(1)  # it may have begun before both nodes were free
    cluster.while_it_runs(job, lambda: epochs_of(1) > before + 1, "two epochs of one worker")
    joined = cluster.add_node()
    while not joined.runs("RayTrainWorker"):  # slowly, or all would be done before the group grows
        left.resume("RayTrainWorker")
        time.sleep(0.3)
        left.suspend("RayTrainWorker")
        time.sleep(1.0)
    left.resume("RayTrainWorker")
    return Training(cluster.succeed(job), f"{store}/train")


def epochs_in(logs: str) -> list[int]:
    return [int(number) for number in re.findall(r"(?m)^epoch +(\d+)/", logs)]


def test_an_elastic_group_goes_on_with_what_a_killed_node_leaves_and_grows_again(
    training: Training,
) -> None:
    epochs = epochs_in(training.logs)
    assert sorted(set(epochs)) == list(range(1, EPOCHS + 1))
    # At most the epoch under way at each restart is done twice, never from the start.
    assert len(epochs) <= EPOCHS + 4
    history = tables.read_json(f"{training.output}/bundle/bundle.json")["history"]
    assert [row["epoch"] for row in history] == list(range(1, EPOCHS + 1))
    sizes = [int(workers) for workers, _ in groupby(row["workers"] for row in history)]
    assert sizes[-3:] == [2, 1, 2]


def test_evaluate_and_score_and_verify_and_report_run_on_its_bundle(
    cluster: LocalCluster, training: Training, store: str, settings: Mapping[str, str]
) -> None:
    bundle = f"{training.output}/bundle"
    jobs = [
        cluster.submit(
            "jobs.score", "--faces", "crop",
            "--images", f"{store}/faces", "--output", f"{store}/scored",
            "--bundle", bundle, env_vars=settings,
        ),
        cluster.submit(
            "jobs.evaluate", "--manifest", f"{store}/manifest", "--bundle", bundle,
            "--split", "test", "--output", f"{store}/evaluated", env_vars=settings,
        ),
    ]  # fmt: skip
    assert "60" in cluster.succeed(jobs[0])
    assert "age MAE, years" in cluster.succeed(jobs[1])
    jobs = [
        cluster.submit("jobs.verify", "--output", f"{store}/scored", env_vars=settings),
        cluster.submit(
            "jobs.report",
            "--predictions",
            f"{store}/scored",
            "--output",
            f"{store}/report.html",
            env_vars=settings,
        ),
    ]
    assert "60 = 60 scored + 0 quarantined" in cluster.succeed(jobs[0])
    cluster.succeed(jobs[1])
    assert b"<html" in storage.read_bytes(f"{store}/report.html")


def test_no_key_is_in_job_metadata_or_logs_or_what_the_jobs_wrote(
    cluster: LocalCluster, training: Training, store: str, s3: S3Server
) -> None:
    secret = s3.secret_key
    listed = cluster.ray_job("list")
    assert listed.returncode == 0
    assert secret not in listed.stdout + listed.stderr
    assert secret not in training.logs
    leaks = [
        path.name
        for path in cluster.folder.rglob("*")
        if path.is_file() and not path.is_symlink() and secret.encode() in path.read_bytes()
    ]  # fmt: skip
    assert leaks == []
    for name in ("train/train.json", "train/bundle/bundle.json", "manifest/manifest.json"):
        assert secret.encode() not in storage.read_bytes(f"{store}/{name}")


def test_a_job_takes_along_what_it_needs_and_leaves_the_rest_at_home(
    cluster: LocalCluster, training: Training
) -> None:
    sent = list(cluster.folder.glob("**/runtime_resources/working_dir_files/*/"))
    assert sent
    names = {path.name for folder in sent for path in folder.iterdir()}
    assert {"jobs", "pipelines", "model", "bundles"} <= names
    assert not names & {".git", ".venv", "tests", "runs", "docs", "demo"}


def test_a_stranger_without_the_token_is_turned_away(cluster: LocalCluster) -> None:
    import requests

    assert requests.get(f"{cluster.jobs_url}/api/jobs/", timeout=20).status_code == 401
    job = {"entrypoint": "touch /tmp/never"}
    assert requests.post(f"{cluster.jobs_url}/api/jobs/", json=job, timeout=20).status_code == 401


def test_a_user_s_error_is_exit_code_2_and_one_sentence_in_the_logs(cluster: LocalCluster) -> None:
    job = cluster.submit("jobs.score", "--images", "/nowhere", "--output", "/tmp/never")
    details = cluster.wait(job)
    assert (details["status"], details["driver_exit_code"]) == ("FAILED", 2)
    printed = cluster.ray_job("logs", job)
    assert "error: --images /nowhere does not exist: check the path" in printed.stdout
    assert "Traceback" not in printed.stdout


def test_what_the_cluster_lacks_is_exit_code_1_and_says_what_was_asked_and_what_there_is(
    cluster: LocalCluster, manifest: str, store: str, settings: Mapping[str, str]
) -> None:
    done = cluster.ray_job(
        "submit", "--working-dir", ".",
        "--runtime-env-json", f'{{"env_vars": {{"FACEMILL_PATIENCE_S": "1", {pairs(settings)}}}}}',
        "--", "python", "-m", "jobs.train", "--manifest", manifest,
        "--output", f"{store}/other", "--preset", "demo", "--device", "gpu", "--workers", "2",
    )  # fmt: skip
    assert done.returncode == 1
    assert "failed: this job asks for 2 workers of " in done.stdout
    assert "1 GPU each, but the cluster's 3 nodes have " in done.stdout
    assert "exit code 1" in done.stdout + done.stderr


def pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f'"{name}": "{value}"' for name, value in values.items())


@dataclasses.dataclass(frozen=True)
class Scoring:
    """A scoring run in shards of ten, on the disk that all nodes share."""

    command: tuple[str, ...]
    output: str
    images: int

    def committed(self) -> int:
        return len(frozen_inputs.committed(self.output)) if Path(self.output).is_dir() else 0

    def is_whole(self, logs: str) -> bool:
        """Whether every image is one row, though a part of them was scored by an earlier job."""
        proof = verify(self.output)
        assert (proof.problems, proof.inputs, proof.scored) == ((), self.images, self.images)
        return "already done" in logs


@pytest.fixture
def scoring(faces_dir: Path, tmp_path: Path) -> Callable[[int], Scoring]:
    """Make a run over so many images; a shard of ten takes a core 0.3 s, a padded batch."""

    def make(count: int) -> Scoring:
        images = linked_faces(faces_dir, tmp_path / "faces", count)
        output = str(tmp_path / "scored")
        command = (
            "jobs.score", "--faces", "crop",
            "--images", str(images), "--output", output, "--bundle",
            str(ROOT / "bundles" / "seed-final"), "--compute", "float32", "--shard-rows", "10",
        )  # fmt: skip
        return Scoring(command, output, count)

    return make


def test_scoring_loses_and_repeats_nothing_when_it_is_stopped_and_nodes_come_and_go(
    cluster: LocalCluster, scoring: Callable[[int], Scoring]
) -> None:
    run = scoring(600)
    job = cluster.submit(*run.command)
    cluster.while_it_runs(job, lambda: run.committed() >= 2, "two shards")
    assert cluster.ray_job("stop", job).returncode == 0
    assert cluster.wait(job)["status"] == "STOPPED"
    assert 2 <= run.committed() < 60
    assert not Path(run.output, "run.json").exists()

    cluster.kill_node(cluster.workers[0])
    (old,) = cluster.workers
    job = cluster.submit(*run.command)
    cluster.while_it_runs(job, lambda: old.runs("ShardScorer"), "the one worker there is room for")
    kept = run.committed()
    cluster.while_it_runs(job, lambda: run.committed() > kept, "a shard of the resumed run")
    old.suspend("ShardScorer")  # or all might be done before the next node has come up
    joined = cluster.add_node(wait=False)
    cluster.while_it_runs(job, lambda: joined.runs("ShardScorer"), "the new node to be used")
    kept = run.committed()
    cluster.while_it_runs(job, lambda: run.committed() > kept, "a shard of the new node")
    cluster.kill_node(old)  # with a shard in its hands
    assert run.is_whole(cluster.succeed(job))


@dataclasses.dataclass(frozen=True)
class Resumed:
    """Runs that were submitted again; the last time on another cluster.

    Attributes:
        scoring: the scoring run.
        scored: what its last submission printed.
        epochs: those that each of three submissions of one training printed.
    """

    scoring: Scoring
    scored: str
    epochs: tuple[list[int], ...]


@pytest.fixture
def resumed(
    cluster: LocalCluster, scoring: Callable[[int], Scoring], store: str, manifest: str,
    settings: Mapping[str, str],
) -> Resumed:  # fmt: skip
    """Score and train side by side, stop the training and go on with it, lose the head, go on."""
    run = scoring(300)
    score = (*run.command, "--workers", "1")
    train = (
        "jobs.train", "--manifest", manifest, "--output", f"{store}/twice", "--preset", "demo",
        "--epochs", "30", "--cpus-per-worker", "1",
    )  # fmt: skip
    while len(cluster.workers) < 2:  # the tests before have killed some
        cluster.add_node()
    job = cluster.submit(*score)
    cluster.while_it_runs(job, lambda: run.committed() >= 2, "two shards")
    for node in cluster.workers:  # or it would be done before the training has begun
        node.suspend("ShardScorer")

    def begun() -> str:
        job = cluster.submit(*train, env_vars=settings)
        cluster.while_it_runs(job, lambda: len(epochs_in(cluster.logs(job))) > 3, "four epochs")
        return job

    first = begun()
    assert cluster.ray_job("stop", first).returncode == 0
    assert cluster.wait(first)["status"] == "STOPPED"
    second = begun()
    epochs = epochs_in(cluster.logs(first)), epochs_in(cluster.logs(second))
    cluster.stop()
    assert 2 <= run.committed() < 30
    assert not storage.exists(f"{store}/twice/bundle/bundle.json")
    keys = {name: value for name, value in cluster.env.items() if name.startswith("AWS_")}
    with local_cluster(1, keys) as other:
        third = epochs_in(other.succeed(other.submit(*train, env_vars=settings)))
        return Resumed(run, other.succeed(other.submit(*score)), (*epochs, third))


def test_what_was_stopped_or_lost_its_head_continues_on_the_next_cluster(
    resumed: Resumed, store: str
) -> None:
    """The last test of this folder that asks for the cluster: it is gone afterwards."""
    assert resumed.scoring.is_whole(resumed.scored)
    for before, after in pairwise(resumed.epochs):
        # The last one's checkpoint may not be in place yet; of the two before it, one may lie in
        # the queue of Ray Train's controller and one may not be in its snapshot: short epochs.
        assert after[0] >= before[-1] - 2 > 1
    history = tables.read_json(f"{store}/twice/bundle/bundle.json")["history"]
    assert [row["epoch"] for row in history] == list(range(1, 31))
