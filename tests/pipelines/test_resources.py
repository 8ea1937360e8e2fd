"""What is asked is held against what there is: wait for what may come, a sentence for the rest."""

import time

import pytest

from model.errors import ResourcesError
from pipelines.resources import Ask, Supply, cores_a_worker, require

HEAD = {"CPU": 0.0}
CPU_NODE = {"CPU": 16.0, "memory": 1e10}
GPU_NODE = {"CPU": 16.0, "GPU": 1.0}


def test_a_worker_needs_all_its_resources_on_one_node() -> None:
    supply = Supply((HEAD, CPU_NODE, GPU_NODE))
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
        require(Ask({"CPU": 2, "GPU": 1}, 4), lambda: Supply((HEAD, CPU_NODE, GPU_NODE)))
    assert str(caught.value) == (
        "this job asks for 4 workers of 2 CPU and 1 GPU each, but the cluster's 3 nodes have 0 CPU,"
        " 16 CPU, 16 CPU and 1 GPU; no autoscaler starts more. Waited 0.1 s: add nodes or ask for "
        "less; `ray status` says what keeps nodes away"
    )


def test_it_waits_thirty_seconds_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEMILL_PATIENCE_S", raising=False)
    clock = iter([0.0, 10.0, 29.9, 30.1])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(ResourcesError, match="Waited 30 s"):
        require(Ask({"CPU": 1}), lambda: Supply((HEAD,)))


def test_a_node_that_joins_meanwhile_is_found() -> None:
    looks = iter([Supply((HEAD,)), Supply((HEAD, CPU_NODE))])
    require(Ask({"CPU": 1}), lambda: next(looks))


def test_what_the_autoscaler_may_start_is_left_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    supply = Supply((HEAD,), ((CPU_NODE, 8), (GPU_NODE, 2)))
    require(Ask({"CPU": 1, "GPU": 1}, 2), lambda: supply)
    assert "its autoscaler may start 8 of 16 CPU, 2 of 16 CPU and 1 GPU" in capsys.readouterr().err


def test_more_than_the_autoscaler_may_start_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEMILL_PATIENCE_S", "0")
    supply = Supply((HEAD,), ((CPU_NODE, 8), (GPU_NODE, 2)))
    with pytest.raises(ResourcesError, match="3 workers of 1 CPU and 1 GPU each"):
        require(Ask({"CPU": 1, "GPU": 1}, 3), lambda: supply)
    require(Ask({"CPU": 1}, 10**6), lambda: Supply((HEAD,), ((CPU_NODE, -1),)))


def test_a_real_cluster_is_read(ray_session: None) -> None:
    from pipelines.resources import supply

    assert supply().room({"CPU": 4}) == 1
    assert supply().room({"GPU": 1}) == 0


def test_a_worker_s_cores_are_shared_out_over_the_nodes_not_over_this_machine() -> None:
    nodes = Supply((HEAD, CPU_NODE, GPU_NODE))
    assert [cores_a_worker(n, 0, lambda: nodes) for n in (1, 2, 3, 4, 99)] == [16, 16, 8, 8, 1]
    assert cores_a_worker(2, 1, lambda: Supply((HEAD, {"CPU": 15.0, "GPU": 2.0}))) == 7
    coming = Supply((HEAD,), ((CPU_NODE, 8), (GPU_NODE, 2)))
    assert cores_a_worker(2, 1, lambda: coming) == 16
