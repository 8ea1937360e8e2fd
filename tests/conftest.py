"""Fixtures that cost something to start: an S3 server, a Ray session, folders of faces."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model.bundle import Bundle
from tests import clouds
from tests.s3_server import S3Server, serve_s3

UTKFACE_DEFAULT = Path(__file__).parents[2] / "shared" / "data" / "utkface"
# The longest first: at the end of a run on two workers, neither waits long for the other.
LONGEST_FIRST = (
    "tests/robustness/test_crash_points",
    "tests/pipelines/training/",
    "tests/pipelines/scoring/",
    "tests/test_golden",
    "tests/jobs/",
)
# Files of long tests that share next to nothing: of these a test stays on one worker, not the file.
LOOSE = ("tests/robustness/test_crash_points.py", "tests/pipelines/scoring/test_sources.py")
MARKED_BY_FIXTURE = {
    "ray_session": "ray", "s3": "s3", "bucket": "s3", "utkface_dir": "utkface",
}  # fmt: skip
# Files whose tests start a Ray of their own, in processes, or use one that is there.
STARTS_RAY = (
    "tests/cluster/",
    "tests/hosts/",
    "tests/jobs/test_demo.py",
    "tests/pipelines/scoring/test_placement.py",
    "tests/pipelines/scoring/test_sources.py",
    "tests/pipelines/training/test_resume.py",
    "tests/robustness/test_chaos.py",
)

QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray 2.60 warns about its own default
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # 2 s by default, and report() waits for it
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # 15 by default: workers starve where others work, tests wait
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses a fixture of MARKED_BY_FIXTURE or STARTS_RAY: `-m "not ray and not s3"`."""
    items.sort(key=_turn)
    for item in items:
        if item.nodeid.startswith(STARTS_RAY):
            item.add_marker("ray")
        for name in getattr(item, "fixturenames", ()):
            if mark := MARKED_BY_FIXTURE.get(name):
                item.add_marker(mark)


def _turn(item: pytest.Item) -> int:
    folders = [item.nodeid.startswith(folder) for folder in LONGEST_FIRST]
    return folders.index(True) if True in folders else len(folders)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile`, but for what is LOOSE."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if nodeid.startswith(LOOSE) else super()._split_scope(nodeid)

    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session", autouse=True)
def quiet_environment() -> Iterator[None]:
    """Set QUIET before anything imports TensorFlow or starts Ray; subprocesses inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUIET.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def s3_address() -> S3Server:
    """Where `s3` will answer once a test asks for it: Ray's workers must know before."""
    return S3Server.at_free_port()


@pytest.fixture(scope="session")
def s3(s3_address: S3Server) -> Iterator[S3Server]:
    """Return a running S3-protocol server that really checks keys."""
    with serve_s3(s3_address):
        yield s3_address


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return `s3://name` of a new empty bucket, with the AWS variables set for this test."""
    for name, value in s3.env().items():
        monkeypatch.setenv(name, value)
    return s3.create_bucket(f"test-{uuid.uuid4().hex[:12]}")


@pytest.fixture(scope="session")
def gcs() -> Iterator[dict[str, str]]:
    """The environment of a running server that speaks Google's protocol, or skip."""
    program = clouds.gcs_program()
    if program is None:
        pytest.skip("fake-gcs-server is not installed: see tests/clouds.py")
    with clouds.serve_gcs(program) as environment:
        yield environment


@pytest.fixture(scope="session")
def azure() -> Iterator[dict[str, str]]:
    """The environment of a running server that speaks Azure's protocol, or skip."""
    program = clouds.azure_program()
    if program is None:
        pytest.skip("azurite-blob is not installed: see tests/clouds.py")
    with clouds.serve_azure(program) as environment:
        yield environment


@pytest.fixture
def gs_bucket(gcs: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return `gs://name` of a new empty bucket, with its variables set for this test."""
    return f"gs://{_made(clouds.make_gcs_bucket, gcs, monkeypatch)}"


@pytest.fixture
def az_container(azure: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return `az://name` of a new empty container, with its variables set for this test."""
    return f"az://{_made(clouds.make_azure_container, azure, monkeypatch)}"


def _made(
    make: Callable[[dict[str, str], str], None],
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    name = f"test-{uuid.uuid4().hex[:12]}"
    make(environment, name)
    return name


@pytest.fixture(scope="session")
def faces_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 60 drawn faces; read only, as the whole session shares it."""
    from demo.drawn_faces import draw_faces

    folder = tmp_path_factory.mktemp("faces")
    draw_faces(folder, count=60, seed=0)
    return folder


@pytest.fixture(scope="session")
def ray_session(quiet_environment: None, s3_address: S3Server) -> Iterator[None]:
    """Run a quiet local Ray of 4 CPUs whose workers reach the server of `s3`."""
    import ray

    from pipelines.cluster.session import start_ray

    with pytest.MonkeyPatch.context() as patch:
        # Workers inherit the environment of this moment, not that of a later test.
        for name, value in s3_address.env().items():
            patch.setenv(name, value)
        ray.init(
            address="local",  # never another session's that runs here
            num_cpus=4,
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            object_store_memory=200 * 2**20,
        )
    start_ray()  # what every job tells Ray Data
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def faces_manifest(
    faces_dir: Path, tmp_path_factory: pytest.TempPathFactory, ray_session: None
) -> str:
    """The ingested manifest of `faces_dir`."""
    from pipelines.manifests.ingest import ingest, write_ingested
    from pipelines.manifests.options import IngestOptions

    output = str(tmp_path_factory.mktemp("manifest"))
    options = IngestOptions(str(faces_dir))
    write_ingested(ingest(options), options, output)
    return output


@pytest.fixture(scope="session")
def utkface_dir() -> Path:
    """Return the folder of real UTKFace images, or skip."""
    folder = Path(os.environ.get("FACEMILL_UTKFACE", UTKFACE_DEFAULT))
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing; set FACEMILL_UTKFACE to a folder of UTKFace images")
    return folder


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return an untrained bundle of the demo preset, with all networks of a shipped one.

    So what scores with `auto` computes as users do: in int8, where the CPU can.
    """
    from pipelines.bundles.exporting import trial_pictures
    from tests.bundles import untrained_bundle, with_engines

    folder = tmp_path_factory.mktemp("untrained")
    plain = untrained_bundle(folder / "plain")
    return with_engines(plain, folder / "whole", trial_pictures(plain))
