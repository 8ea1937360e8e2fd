"""What is asked is held against what there is: wait for what may come, a sentence for the rest."""

import contextlib
import time

import pytest

from model.errors import ResourcesError
from pipelines.cluster.resources import Capacity, ResourceRequest, cores_a_worker, require

HEAD = {"CPU": 0.0}
CPU_NODE = {"CPU": 16.0, "memory": 1e10}
GPU_NODE = {"CPU": 16.0, "GPU": 1.0}


def unasked(_: ResourceRequest) -> "contextlib.nullcontext[None]":
    """No cluster here that could be asked."""
    return contextlib.nullcontext()


def test_a_worker_needs_all_its_resources_on_one_node() -> None:
    supply = Capacity((HEAD, CPU_NODE, GPU_NODE))
    assert supply.room({"CPU": 1}) == 32
    assert supply.room({"CPU": 9}) == 2
    assert supply.room({"CPU": 17}) == 0
    assert supply.room({"CPU": 1, "GPU": 1}) == 1
    assert supply.room({"CPU": 1, "GPU": 0}) == 32
    assert supply.room({"GPU": 0.1}) == 10


def test_what_cannot_come_ends_in_a_sentence_that_says_what_was_asked_and_what_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FACEMILL_PATIENCE_S", "0.1")
    with pytest.raises(ResourcesError) as caught:
        require(
            ResourceRequest({"CPU": 2, "GPU": 1}, 4),
            lambda: Capacity((HEAD, CPU_NODE, GPU_NODE)),
            unasked,
        )
    assert str(caught.value) == (
        "this job asks for 4 workers of 2 CPU and 1 GPU each, but the cluster's 3 nodes have 0 CPU,"
        " 16 CPU, 16 CPU and 1 GPU; no more are being started. Waited 0.1 s: add nodes or ask for "
        "less; `ray status` shows why no node comes"
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that pass by themselves: ten at each pause."""
    monkeypatch.delenv("FACEMILL_PATIENCE_S", raising=False)
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda _: now.append(now.pop() + 10))
    return now


def test_it_waits_thirty_seconds_unless_told_otherwise(clock: list[float]) -> None:
    with pytest.raises(ResourcesError, match="Waited 30 s"):
        require(ResourceRequest({"CPU": 1}), lambda: Capacity((HEAD,)), unasked)
    assert clock == [30]


def test_a_node_that_joins_meanwhile_is_found() -> None:
    looks = iter([Capacity((HEAD,)), Capacity((HEAD,)), Capacity((HEAD, CPU_NODE))])
    require(ResourceRequest({"CPU": 1}), lambda: next(looks), unasked)


def test_while_nodes_are_being_started_it_waits_and_says_so_each_minute(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    def look() -> Capacity:
        return Capacity((HEAD, GPU_NODE) if clock[0] > 100 else (HEAD,), coming=2)

    require(ResourceRequest({"CPU": 1, "GPU": 1}), look, unasked)
    said = "the cluster's only node has 0 CPU; 2 more are being started"
    assert capsys.readouterr().err.splitlines() == [
        f"waiting for a worker of 1 CPU and 1 GPU: {said}",
        f"waiting for a worker of 1 CPU and 1 GPU (60 s): {said}",
    ]


def test_what_comes_and_does_not_do_is_refused_thirty_seconds_later(clock: list[float]) -> None:
    def look() -> Capacity:
        return Capacity((HEAD,), coming=1) if clock[0] < 50 else Capacity((HEAD, CPU_NODE))

    with pytest.raises(ResourcesError, match="2 nodes have 0 CPU, 16 CPU; no more"):
        require(ResourceRequest({"GPU": 1}), look, unasked)
    assert clock == [70]  # the last time that one was coming was at 40


def test_a_real_cluster_is_read(ray_session: None) -> None:
    from pipelines.cluster.resources import supply

    assert supply().room({"CPU": 4}) == 1
    assert supply().room({"GPU": 1}) == 0


def test_a_worker_s_cores_are_shared_out_over_the_nodes_not_over_this_machine() -> None:
    nodes = Capacity((HEAD, CPU_NODE, GPU_NODE))
    assert [cores_a_worker(n, 0, lambda: nodes) for n in (1, 2, 3, 4, 99)] == [16, 16, 8, 8, 0]
    assert cores_a_worker(2, 1, lambda: Capacity((HEAD, {"CPU": 15.0, "GPU": 2.0}))) == 7
