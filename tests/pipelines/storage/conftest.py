"""What the tests of storage share."""

from pathlib import Path

import pytest


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new empty folder, on disk and in the S3 server."""
    if request.param == "local":
        (tmp_path / "a folder").mkdir()
        return str(tmp_path / "a folder")
    return request.getfixturevalue("bucket") + "/a prefix"
