"""The sums of benchmarks/cost.py add up."""

from pathlib import Path

import pytest
import yaml

from benchmarks.cost import CORES, Run

ROOT = Path(__file__).parents[1]


def test_a_million_images_by_hand() -> None:
    run = Run(1_000_000, nodes=1, prefixes=1)
    assert run.images_per_s == 5_500  # 1,186.5 x 16 cores x 0.9 are more than a prefix gives
    assert run.hours == pytest.approx((300 + 1e6 / 5500) / 3600)
    assert run.machines_usd() == pytest.approx((run.hours + 1 / 6) * (0.714 + 0.2016))
    # 1e6 GETs, 1,000 LISTs, 66 shards
    assert run.requests_usd == pytest.approx(0.4 + 0.005 + 66 * (4 * 5e-6 + 2 * 4e-7))


def test_one_prefix_is_a_limit_and_sixteen_are_not() -> None:
    assert Run(10**8, 3, 1).images_per_s == 5_500
    assert Run(10**8, 3, 16).images_per_s == pytest.approx(1_186.5 * 48 * 0.9)


def test_it_is_about_the_machines_of_the_cluster_file() -> None:
    nodes = yaml.safe_load((ROOT / "cluster.yaml").read_text())["available_node_types"]
    assert nodes["cpu"]["node_config"]["InstanceType"] == "c7i.4xlarge" and CORES == 16
    assert nodes["head"]["node_config"]["InstanceType"] == "m7i.xlarge"
    assert max(8, nodes["cpu"]["max_workers"]) == 8
