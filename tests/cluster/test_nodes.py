"""What a node of a test's cluster is told of the machine: what a machine of its own would be."""

import pytest

from tests.cluster.nodes import LocalCluster


def test_a_node_knows_nothing_of_what_another_test_left_in_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As a scorer without a GPU does to its own process; Ray then starts no node that has one.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("AWS_REGION", "elsewhere")
    cluster = LocalCluster({"RAY_FAKE_CLUSTER": "1"})
    cluster.stop()
    assert not cluster.env.keys() & {"CUDA_VISIBLE_DEVICES", "AWS_REGION"}
    assert cluster.env["RAY_FAKE_CLUSTER"] == "1"
