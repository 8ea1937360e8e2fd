"""Which stage runs on cores, which on GPUs, and how many workers there are."""

import pytest

from pipelines.cluster.resources import Ask
from pipelines.scoring import placement
from pipelines.scoring.options import Resources
from pipelines.scoring.placement import placed


def test_without_a_gpu_all_stages_are_fused_a_worker_a_core(ray_session: None) -> None:
    places = placed(Resources(), 99)
    assert (places.separate, places.use_gpu, places.num_gpus) == (False, False, 0)
    assert places.sentence == (
        f"fetch, decode, network and write fused, {places.workers} workers of a core each"
    )


def test_there_are_no_more_workers_than_shards(ray_session: None) -> None:
    places = placed(Resources(), 1)
    assert (places.workers, places.most) == (1, 1)
    assert places.sentence.endswith("fused, one worker of a core")


def test_with_gpus_the_network_goes_there_and_decoding_stays_on_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = list[Ask]()
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 64.0, "GPU": 4.0})
    monkeypatch.setattr(placement, "require", asked.append)
    places = placed(Resources(), 99)
    assert (places.separate, places.use_gpu) == (True, True)
    assert (places.workers, places.num_cpus, places.num_gpus) == (4, 0, 1)
    assert asked == [Ask({"GPU": 1})]
    on_cores = placed(Resources(plan="fused"), 99)
    assert (on_cores.use_gpu, on_cores.workers, on_cores.num_gpus) == (False, 64, 0)


def test_gpus_that_an_autoscaler_has_yet_to_add_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = list[Ask]()
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 8.0})
    monkeypatch.setattr(placement, "require", asked.append)
    options = Resources(use_gpu=True, workers=3)
    assert placed(options, 99).workers == 3
    assert asked == [Ask({"GPU": 1})]
