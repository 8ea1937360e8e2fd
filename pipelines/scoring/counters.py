"""Progress of scoring as Prometheus metrics, which Ray serves on every node.

Ray puts `ray_` before each name. The dashboard in docs/grafana/facemill.json draws them. Every
metric carries the tag `run_id`, the one of job.json. All are counters: Ray 2.60 serves a gauge only
in the interval in which it was set, so one that is set once a shard is missing from most scrapes.
"""

import json
from collections.abc import Mapping

from ray.util.metrics import Counter

from pipelines.predictions.run_record import ShardRecord


class ScoringCounters:
    """The metrics of one run, kept by its driver: one update a shard, none an image."""

    def __init__(self, run_id: str, inputs: int, pending: int) -> None:
        """Say how many inputs there are and how many are still to score."""
        tags = {"run_id": run_id}

        def counter(name: str, description: str, *more: str) -> Counter:
            metric = Counter(
                f"facemill_{name}", description=description, tag_keys=("run_id", *more)
            )
            metric.set_default_tags(tags)
            return metric

        inputs_of_run = counter("inputs_total", "inputs of the run")
        self._done = counter("done_total", "inputs with a row, those of earlier drivers included")
        self._scored = counter("scored_total", "inputs scored and committed by this driver")
        self._rows = counter("rows_total", "prediction rows of these: one a picture, or one a face")
        self._bad = counter(
            "quarantined_total", "quarantine rows committed by this driver, by reason", "reason"
        )
        inputs_of_run.inc(inputs)
        if inputs > pending:  # Ray refuses to count 0
            self._done.inc(inputs - pending)

    def committed(self, record: ShardRecord) -> None:
        """Count one more shard."""
        if record.scored:
            self._scored.inc(record.scored)
            self._rows.inc(record.rows)
        reasons: Mapping[str, int] = json.loads(record.reasons)
        for reason, rows in reasons.items():
            self._bad.inc(rows, {"reason": reason})
        self._done.inc(record.scored + record.quarantined)
