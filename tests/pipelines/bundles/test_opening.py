"""A bundle fetched from S3 leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

from model.bundle import Bundle
from pipelines import storage
from pipelines.bundles.opening import copy_bundle


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
