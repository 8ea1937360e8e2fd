"""docs/security.md, held: no key where others read, no file outside the output, no wide right."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from model.bundle import Bundle
from model.errors import StorageError
from pipelines import storage
from pipelines.cluster import session
from pipelines.predictions import schemas
from pipelines.predictions.dataset import Partitioning, write_dataset
from tests.audit import audit
from tests.runs import finished_run

ROOT = Path(__file__).parents[1]
SECRET = "tops3cr3t-0f1e2d3c"
POLICIES = sorted((ROOT / "deploy" / "iam").glob("*.json"))


@pytest.mark.parametrize(
    "uri",
    [
        f"s3://AKIA:{SECRET}@bucket/faces",
        f"s3://bucket/faces?secret_key={SECRET}",
        f"s3://bucket/a.jpg?X-Amz-Signature={SECRET}",
        f"s3://bucket/faces?region=x&AWS_SECRET_ACCESS_KEY={SECRET}",
    ],
)
def test_a_uri_with_a_credential_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(StorageError) as caught:
        storage.normalize(uri)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "uri", ["s3://bucket/faces/a?b=c.jpg", "s3://bucket/me@home/x", "/tmp/a@b"]
)
def test_uncommon_keys_are_no_credentials(uri: str) -> None:
    assert storage.normalize(uri) == uri


def test_workers_are_told_where_the_store_is_and_never_a_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "HF_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store:9000")
    monkeypatch.setenv("FACEMILL_PATIENCE_S", "5")
    told = session._runtime_env()["env_vars"]
    assert SECRET not in json.dumps(told)
    assert told["AWS_ENDPOINT_URL"] == "http://store:9000"
    assert told["FACEMILL_PATIENCE_S"] == "5"


def test_ray_reports_nothing_to_its_makers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    session.quiet_libraries()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.ray
def test_no_key_reaches_what_scoring_writes_or_prints(
    faces_dir: Path, untrained: Bundle, tmp_path: Path
) -> None:
    keys = {"AWS_ACCESS_KEY_ID": SECRET, "AWS_SECRET_ACCESS_KEY": SECRET}
    images = tmp_path / "faces"
    images.mkdir()
    for face in sorted(faces_dir.iterdir())[:8]:
        (images / face.name).write_bytes(face.read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "jobs.score", "--faces", "crop",
         "--images", str(images), "--output",
         str(tmp_path / "out"), "--bundle", str(untrained.folder)],
        capture_output=True, text=True, check=False, env={**os.environ, **keys},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert any(path.name == "run.json" for path in files)
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


NASTY = [
    "/faces/../../../etc/passwd",
    "s3://b/../../x/%2e%2e/y.jpg",
    "/a/..",
    "/a/\n/b",
    "/a/\0.jpg",
]


def test_no_input_s_name_moves_a_file_out_of_the_output(untrained: Bundle, tmp_path: Path) -> None:
    output = tmp_path / "deep" / "out"
    finished_run(str(output), untrained, NASTY * 1, shard_rows=2, bad=1)
    write_dataset(str(output), Partitioning(regex=r"(?P<folder>[^/]*/[^/]*)$"))
    outside = [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and not path.resolve().is_relative_to(output)
    ]
    assert outside == []
    rows = schemas.read_predictions(str(output)).num_rows
    assert rows + schemas.read_quarantine(str(output)).num_rows == len(NASTY)


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_policies_grant_no_wildcard_action_and_writing_nowhere_but_below_a_prefix(
    path: Path,
) -> None:
    for statement in json.loads(path.read_text())["Statement"]:
        actions, resources = (
            [found] if isinstance(found := statement.get(key, []), str) else found
            for key in ("Action", "Resource")
        )
        assert statement["Effect"] == "Allow"
        assert not any("*" in action for action in actions)
        if resources == ["*"]:  # EC2 knows no narrower right to look
            assert all(action.startswith("ec2:Describe") for action in actions)
        if any(action.startswith("s3:Put") or action.startswith("s3:Del") for action in actions):
            assert all(name.count("/") >= 1 and name.endswith("/*") for name in resources)
            assert not any(name.endswith(":::BUCKET/*") for name in resources)


def test_the_scoring_role_cannot_write_images_and_the_training_role_neither() -> None:
    for name in ("score", "train"):
        policy = json.loads((ROOT / "deploy" / "iam" / f"{name}.json").read_text())
        for statement in policy["Statement"]:
            if "arn:aws:s3:::BUCKET/faces/*" in statement["Resource"]:
                assert statement["Action"] == "s3:GetObject"


def _audit(tmp_path: Path, answer: str) -> tuple[bool, str]:
    program = tmp_path / "pip-audit"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")
    program.chmod(0o755)
    return audit(tmp_path / "lock", str(program))


def test_the_audit_names_a_hole_and_is_content_without_a_network(tmp_path: Path) -> None:
    hole = {"id": "CVE-1", "fix_versions": ["2"]}
    known = {"name": "pillow", "version": "1", "vulns": [hole]}
    skipped = {"name": "numpy", "skip_reason": "not found"}
    good, sentence = _audit(tmp_path, json.dumps({"dependencies": [known, skipped]}))
    assert not good
    assert "pillow 1: CVE-1, mended in 2" in sentence
    good, sentence = _audit(tmp_path, json.dumps({"dependencies": [{**known, "vulns": []}]}))
    assert (good, sentence) == (True, "audit: 1 of 1 packages asked for, no known hole")
    assert _audit(tmp_path, json.dumps({"dependencies": [skipped]}))[0]
    assert _audit(tmp_path, "no route to host") == (
        True, "audit: skipped, pip-audit got no answer from PyPI",
    )  # fmt: skip


def test_the_newcomer_s_sed_fills_every_name_in_the_policies(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    (command,) = re.findall(r"(?m)^(sed -i .*deploy/iam/\*\.json)", text)
    shutil.copytree(ROOT / "deploy" / "iam", tmp_path / "deploy" / "iam")
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    for path in (tmp_path / "deploy" / "iam").glob("*.json"):
        assert not re.search("BUCKET|REGION|ACCOUNT", path.read_text()), path.name
        json.loads(path.read_text())


def test_the_training_role_may_ask_what_ray_train_asks_of_a_bucket() -> None:
    """It makes the folder of its checkpoints through s3fs, which looks for the bucket first."""
    policy = json.loads((ROOT / "deploy" / "iam" / "train.json").read_text())
    free = [s for s in policy["Statement"] if "Condition" not in s]
    assert any(s["Action"] == "s3:GetBucketLocation" for s in free)


def pods(document: object) -> list[dict[str, object]]:
    """Every specification of a pod in a Kubernetes manifest."""
    if isinstance(document, list):
        return [pod for item in document for pod in pods(item)]
    if not isinstance(document, dict):
        return []
    inner = [pod for value in document.values() for pod in pods(value)]
    return [document, *inner] if "containers" in document else inner


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
def test_no_container_runs_as_root(name: str) -> None:
    text = (ROOT / "deploy" / "kuberay" / name).read_text()
    found = pods(list(yaml.safe_load_all(text)))
    assert len(found) >= 3
    assert all(pod["securityContext"] == {"runAsNonRoot": True} for pod in found)
    last = (ROOT / "deploy" / "kuberay" / "Dockerfile").read_text().splitlines()[-1]
    assert last == "USER 1000"
