"""Which stage runs on cores, which on GPUs, and how many workers there are."""

import pytest

from pipelines.cluster.resources import ResourceRequest
from pipelines.scoring import placement
from pipelines.scoring.options import Resources
from pipelines.scoring.placement import placed


def test_without_a_gpu_all_stages_are_fused_a_worker_a_core(ray_session: None) -> None:
    places = placed(Resources(), 99)
    assert (places.use_gpu, places.resources) == (False, {"num_cpus": 1, "num_gpus": 0})
    assert places.sentence == (
        f"fetch, decode, network and write fused, {places.workers} workers of a core each"
    )


def test_there_are_no_more_workers_than_shards(ray_session: None) -> None:
    places = placed(Resources(), 1)
    assert (places.workers, places.max_workers) == (1, 1)
    assert places.sentence.endswith("fused, one worker of a core")


def test_with_gpus_the_network_goes_there_and_decoding_stays_on_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = list[ResourceRequest]()
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 64.0, "GPU": 4.0})
    monkeypatch.setattr(placement, "require", asked.append)
    places = placed(Resources(), 99)
    assert (places.use_gpu, places.workers) == (True, 4)
    assert places.resources == {"num_cpus": 0, "num_gpus": 1}
    assert asked == [ResourceRequest({"GPU": 1})]
    on_cores = placed(Resources(device="cpu"), 99)
    assert (on_cores.use_gpu, on_cores.workers) == (False, 64)


def test_gpus_that_an_autoscaler_has_yet_to_add_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = list[ResourceRequest]()
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 8.0})
    monkeypatch.setattr(placement, "require", asked.append)
    options = Resources(device="gpu", workers=3)
    assert placed(options, 99).workers == 3
    assert asked == [ResourceRequest({"GPU": 1})]
