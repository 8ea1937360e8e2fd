"""One cluster for all tests that submit jobs, and a store that the jobs read.

The nodes hold the keys of the store, as an instance profile or a Kubernetes secret would; the jobs
bring endpoint and region.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import storage
from tests.cluster.nodes import LocalCluster, local_cluster
from tests.s3_server import S3Server

SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.fixture(scope="package")
def cluster(s3: S3Server) -> Iterator[LocalCluster]:
    keys = {name: s3.env()[name] for name in (*SECRETS, "AWS_EC2_METADATA_DISABLED")}
    with local_cluster(2, keys) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def settings(s3: S3Server) -> dict[str, str]:
    """What goes along with a job: where the store is, and no key."""
    return {k: v for k, v in s3.env().items() if k in ("AWS_ENDPOINT_URL", "AWS_REGION")}


@pytest.fixture(scope="module")
def store(s3: S3Server, faces_dir: Path) -> Iterator[str]:
    """A bucket with sixty faces below `faces/`, open to this process too."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.env().items():
            patch.setenv(name, value)
        bucket = s3.create_bucket("cluster-test")
        for face in faces_dir.iterdir():
            storage.write_bytes(f"{bucket}/faces/{face.name}", face.read_bytes())
        yield bucket
