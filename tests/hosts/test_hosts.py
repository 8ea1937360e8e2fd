"""A run over hosts of their own: cut off, out of power, without a shared disk."""

import re
from collections.abc import Iterator

import pytest

from tests.hosts.bed import why_not
from tests.hosts.cluster import HostCluster, hosts_with_ray
from tests.hosts.runs import BUCKET, ScoringRun, disturbed, put_images, rows_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.s3,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "hosts can be made"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[HostCluster]:
    with hosts_with_ray(2) as cluster, pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.store.env().items():
            patch.setenv(name, value)
        cluster.store.create_bucket(BUCKET)
        yield cluster


@pytest.fixture(scope="module")
def images(cluster: HostCluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    return put_images(tmp_path_factory.mktemp("faces"), 90)


def test_an_output_on_a_disk_that_hosts_do_not_share_is_refused(
    cluster: HostCluster, images: str
) -> None:
    job = cluster.submit("jobs.score", "--images", images, "--output", "/tmp/out")
    details, logs = cluster.wait(job), cluster.logs(job)
    assert details["driver_exit_code"] == 2, logs
    assert re.search(r"error: --output is a local path, and node \S+ does not", logs), logs
    assert not (cluster.head_host.disk / "tmp" / "out" / "predictions").exists()


def test_a_worker_cut_off_and_back_costs_no_row_and_doubles_none(
    cluster: HostCluster, images: str
) -> None:
    calm = ScoringRun(cluster, images, f"s3://{BUCKET}/calm")
    calm.begin()
    assert calm.end(0.0, None).problems == ()
    expected = rows_of(calm.output)
    assert len(expected) == 90
    host = cluster.host_of[cluster.workers[0]]
    outcome = disturbed(
        cluster, images, f"s3://{BUCKET}/cut", expected, host.cut, host.heal, hold_s=40
    )
    assert outcome.problems == ()
    assert outcome.submissions == 1
