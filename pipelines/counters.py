"""Progress of scoring as Prometheus metrics, which Ray serves on every node.

Ray puts `ray_` before each name. The dashboard in docs/grafana/facemill.json draws them. Every
metric carries the tag `run_id`, the one of job.json.
"""

import json
from collections.abc import Mapping
from typing import Any

from ray.util import metrics

from pipelines.shard_worker import ShardRecord


class ScoringCounters:
    """The metrics of one run, kept by its driver: one update a shard, none an image."""

    def __init__(self, run_id: str, inputs: int, pending: int) -> None:
        """Say how many inputs there are and how many are still to score."""
        tags = {"run_id": run_id}

        def made(kind: Any, name: str, what: str, *more: str) -> Any:
            metric = kind(f"facemill_{name}", description=what, tag_keys=("run_id", *more))
            metric.set_default_tags(tags)
            return metric

        self._pending = pending
        self._inputs = made(metrics.Gauge, "inputs", "inputs of the run")
        self._left = made(metrics.Gauge, "inputs_pending", "inputs without a row yet")
        self._rate = made(metrics.Gauge, "images_per_second", "rows a second, since the start")
        self._scored = made(metrics.Counter, "scored_total", "prediction rows committed")
        self._bad = made(
            metrics.Counter, "quarantined_total", "quarantine rows committed, by reason", "reason"
        )
        self._inputs.set(inputs)
        self._left.set(pending)

    def committed(self, record: ShardRecord, images_per_second: float) -> None:
        """Count one more shard."""
        if record.scored:
            self._scored.inc(record.scored)
        reasons: Mapping[str, int] = json.loads(record.reasons)
        for reason, rows in reasons.items():
            self._bad.inc(rows, {"reason": reason})
        self._pending -= record.scored + record.quarantined
        self._left.set(self._pending)
        self._rate.set(images_per_second)
