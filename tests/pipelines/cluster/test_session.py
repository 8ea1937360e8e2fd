"""What the nodes of a cluster are told of a run."""

import pytest

from pipelines.cluster import session
from pipelines.telemetry.phases import begin_run


def test_two_runs_share_one_environment_on_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[object]()
    for run_id in ("5f0c", "77aa"):  # one each would have Ray unpack the code twice: see there
        monkeypatch.setenv("FACEMILL_RUN_ID", run_id)
        monkeypatch.setenv("FACEMILL_JOB", "")
        begin_run(f"job of {run_id}")
        told.append(session._runtime_env())
    assert told[0] == told[1]
