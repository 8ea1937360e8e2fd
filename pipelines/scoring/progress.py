"""Live progress of a scoring run, within shards too: the largest take a core two minutes."""

import contextlib
import threading
import time
from types import TracebackType
from typing import Any

import ray
import ray.exceptions

from pipelines.cluster.actors import start_on_driver_node
from pipelines.telemetry.progress import Progress

_REPORT_S = 2.0  # of a worker to the tally, so that a thousand of them do not flood it
_LOOK_S = 1.0


@ray.remote(num_cpus=0)
class ProgressCounter:
    """Rows done so far of the shards that are under way."""

    def __init__(self) -> None:
        """Start empty."""
        self.rows: dict[int, int] = {}
        self.over: set[int] = set()

    def report(self, shard: int, rows: int) -> None:
        """`rows` of `shard` are done, though nothing is committed yet."""
        if shard not in self.over:  # a report may come late
            self.rows[shard] = rows

    def take(self, committed: list[int]) -> int:
        """All rows under way, after `committed` shards are forgotten."""
        self.over.update(committed)
        for shard in committed:
            self.rows.pop(shard, None)
        return sum(self.rows.values())


class Reporter:
    """A worker's end of a tally; without one (None) it does nothing."""

    def __init__(self, tally: Any, shard: int) -> None:
        """Report to `tally`, an actor handle, about `shard`."""
        self.tally, self.shard, self.rows = tally, shard, 0
        self._reported = time.monotonic()

    def add(self, rows: int) -> None:
        """Count `rows` more, and tell of them now and then."""
        self.rows += rows
        now = time.monotonic()
        if self.tally is not None and now - self._reported >= _REPORT_S:
            self._reported = now
            self.tally.report.remote(self.shard, self.rows)


class ScoreProgress(threading.Thread):
    """Shows committed rows and those under way, from a `with` block around the run.

    Attributes:
        tally: the actor that workers report to; on the driver's own node, as elsewhere it could be
            lost while the run goes on.
    """

    def __init__(self, rows: int) -> None:
        """Show progress towards so many rows."""
        super().__init__(daemon=True)
        self.tally: Any = start_on_driver_node(ProgressCounter)
        self._progress, self._lock = Progress("score", rows), threading.Lock()
        self._committed, self._quarantined, self._forget = 0, 0, list[int]()
        self._stopped = threading.Event()

    def __enter__(self) -> "ScoreProgress":
        """Begin to watch."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop watching and show the final count, unless the run has failed."""
        self._stopped.set()
        self.join(timeout=5)
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(self.tally)
        if error is None:
            self._progress.done = self._committed
            self._progress.close(self._note)

    def run(self) -> None:
        """Look at the tally until the end; what it says is for show, so its loss ends only that."""
        while not self._stopped.wait(_LOOK_S):
            with self._lock:
                forget, self._forget = self._forget, []
            try:
                under_way: int = ray.get(self.tally.take.remote(forget), timeout=10)
            except (ray.exceptions.RayError, TimeoutError):
                return
            with self._lock:
                if not self._forget:  # else a shard was committed meanwhile: not counted twice
                    self._show(self._committed + under_way)

    def commit(self, shard: int, scored: int, quarantined: int) -> None:
        """Count a shard's rows as committed."""
        with self._lock:
            self._forget.append(shard)
            self._committed += scored + quarantined
            self._quarantined += quarantined
            self._show(self._committed)

    @property
    def done(self) -> int:
        """Rows shown: committed and under way."""
        return self._progress.done

    def _show(self, done: int) -> None:
        """Advance to `done` rows; a shard whose worker died is done again, and not told twice."""
        if done > self._progress.done:
            self._progress.advance(done - self._progress.done, self._note)

    @property
    def _note(self) -> str:
        return f"{self._quarantined:,} quarantined"
