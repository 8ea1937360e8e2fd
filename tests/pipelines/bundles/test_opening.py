"""A bundle fetched from S3 leaves nothing behind, and half a one is no bundle."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from model.bundle import Bundle
from model.errors import BundleError
from pipelines import storage
from pipelines.bundles.opening import copy_bundle, open_bundle


def test_the_copy_of_a_bundle_from_s3_is_gone_when_the_process_ends(
    bucket: str, untrained: Bundle, tmp_path: Path
) -> None:
    copy_bundle(untrained, storage.join(bucket, "bundle"))
    code = (
        "from pipelines.bundles.opening import open_bundle\n"
        f"bundle = open_bundle('{bucket}/bundle')\n"
        "print(bundle.id, bundle.folder)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        cwd=Path(__file__).parents[3],
    )
    bundle_id, folder = done.stdout.split()
    assert bundle_id == untrained.id
    assert Path(folder).parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_bundle_or_half_a_one_in_a_bucket_is_one_sentence(
    bucket: str, untrained: Bundle
) -> None:
    uri = storage.join(bucket, "bundle")
    storage.write_bytes(f"{uri}/network.keras", b"x")
    with pytest.raises(BundleError, match=rf"^{uri} is no bundle: "):
        open_bundle(uri)
    copy_bundle(untrained, uri)
    record = storage.read_bytes(f"{uri}/bundle.json")
    storage.write_bytes(f"{uri}/bundle.json", record[: len(record) // 2])
    with pytest.raises(BundleError, match=rf"^{uri}/bundle.json is damaged \(.+\): copy it again$"):
        open_bundle(uri)
