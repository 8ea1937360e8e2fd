"""Each bad argument: exit code 2, one sentence, no traceback."""

import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from model.bundle import Bundle
from tests.jobs.conftest import RunJob


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["score", "--images", "{tmp}/none", "--output", "{tmp}/o"],
         "error: --images {tmp}/none does not exist: check the path"),
        (["score", "--images", "{tmp}/empty"],
         "error: --images {tmp}/empty holds many images: give --output for their "
         "predictions"),
        (["score", "--images", "{tmp}/empty", "--output", "{tmp}/empty/o"],
         "error: --output {tmp}/empty/o lies in --images {tmp}/empty, so its files would become "),
        (["ingest", "--images", "{tmp}/empty", "--output", "{tmp}/empty"],
         "error: --output {tmp}/empty lies in --images {tmp}/empty, so its files would become "),
        (["train", "--manifest", "m", "--output", "{tmp}/o", "--start-from", "{tmp}/empty"],
         "error: --start-from {tmp}/empty holds neither weights.npz nor bundle.json: give"),
        (["score", "--output", "{tmp}/o"], "error: give either --images or --manifest"),
        (["score", "--images", "ftp://bucket/x", "--output", "{tmp}/o"],
         "error: ftp:// is not supported: use a local path, s3://bucket/prefix, gs://"),
        (["score", "--images", "{tmp}/empty", "--output", "{tmp}/o", "--shard-rows", "0"],
         "error: --shard-rows 0 must be at least 1"),
        (["score", "--images", "{tmp}/empty", "--output", "{tmp}/o", "--max-quarantine", "five"],
         "error: --max-quarantine five must be a share, such as 5% or 0.05"),
        (["score", "--images", "{tmp}/empty", "--output", "{tmp}/o", "--dry-run"],
         "error: there is nothing to score: the input lists no file"),
        (["train", "--manifest", "{tmp}/none", "--output", "{tmp}/o"],
         "error: --manifest {tmp}/none does not exist: check the path"),
        (["train", "--output", "{tmp}/o"],
         "error: --manifest is missing: give a folder or a prefix (s3://, gs://, az://)"),
        (["train", "--manifest", "{tmp}/empty", "--output", "{tmp}/o", "--preset", "vgg"],
         "error: unknown preset 'vgg': choose one of "),
        (["train", "--manifest", "{tmp}/empty", "--output", "{tmp}/o", "--epochs", "0"],
         "error: --epochs 0 must be at least 1"),
        (["train", "--manifest", "{tmp}/empty", "--output", "{tmp}/o", "--seed", "-1"],
         "error: --seed -1 must be from 0 to 4294967295"),
        (["train", "--manifest", "{tmp}/empty", "--output", "{tmp}/o", "--cpus-per-worker", "-1"],
         "error: --cpus-per-worker -1 must be at least 1, or 0 to divide all cores"),
        (["score", "--images", "{tmp}/empty", "--output", "{tmp}/o", "--tta", "10"],
         "error: --tta 10 takes five crops, and demo takes whole images: choose 1 or 2"),
        (["evaluate", "--output", "{tmp}/o"], "error: give either --manifest or --images"),
    ],
)  # fmt: skip
def test_a_bad_argument_is_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, untrained: Bundle, tmp_path: Path, run_job: RunJob
) -> None:
    (tmp_path / "empty").mkdir()
    filled = [text.format(tmp=tmp_path) for text in arguments]
    if filled[0] in ("score", "evaluate"):
        filled += ["--bundle", str(untrained.folder)]
    result = run_job(*filled)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith(sentence.format(tmp=tmp_path))
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("job", ["score", "evaluate"])
def test_an_empty_folder_is_one_sentence(
    job: str, untrained: Bundle, tmp_path: Path, run_job: RunJob, ray_session: None
) -> None:
    (tmp_path / "empty").mkdir()
    result = run_job(
        job, "--images", tmp_path / "empty", "--output", tmp_path / "out",
        "--bundle", untrained.folder,
    )  # fmt: skip
    assert result.returncode == 2, result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"error: --images {tmp_path / 'empty'} holds no files, so no images")
    assert "Traceback" not in result.stderr


def test_a_flipped_byte_in_the_bundle_is_one_sentence(
    untrained: Bundle, tmp_path: Path, run_job: RunJob
) -> None:
    for file in untrained.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    network = tmp_path / "network.keras"
    data = bytearray(network.read_bytes())
    data[len(data) // 2] ^= 1
    network.write_bytes(data)
    result = run_job("score", "--images", tmp_path / "x.jpg", "--bundle", tmp_path)
    assert result.returncode == 2
    assert result.stderr == (
        f"error: {network} is not the file that was written (SHA-256): copy it again\n"
    )


def test_unreachable_store_missing_bucket_and_denied_key_are_one_sentence_each(
    bucket: str, untrained: Bundle, tmp_path: Path, run_job: RunJob,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    base = ["score", "--output", tmp_path, "--bundle", untrained.folder, "--images"]
    missing = run_job(*base, "s3://no-such-bucket/faces")
    assert missing.returncode == 2, missing.stderr
    assert "there is no bucket 'no-such-bucket'" in missing.stderr
    with monkeypatch.context() as patch:
        patch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        denied = run_job(*base, f"{bucket}/x")
    assert denied.returncode == 2
    assert f"access to bucket '{bucket.removeprefix('s3://')}'" in denied.stderr
    assert "wrong" not in denied.stderr.replace("what went wrong", "")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    dead = run_job(*base, f"{bucket}/x")
    assert dead.returncode == 2
    assert (
        "the store at http://127.0.0.1:9 cannot be reached (connection refused): check "
        in dead.stderr
    )
    for result in (missing, denied, dead):
        assert result.stderr.count("\n") == 1, result.stderr


def test_a_reader_who_has_enough_ends_a_job_without_a_word(faces_dir: Path) -> None:
    """As `| head -1` does; what Python says of it at its exit is nobody's concern."""
    images = ",".join(map(str, sorted(faces_dir.iterdir())[:2]))
    command = f"{shlex.quote(sys.executable)} -m jobs.score --images {shlex.quote(images)}"
    done = subprocess.run(
        ["bash", "-c", f"{command} | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == f"{128 + signal.SIGPIPE}\n"
    assert "failed" not in done.stderr
    assert "Broken pipe" not in done.stderr
