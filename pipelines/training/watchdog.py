"""Watches a training run while Ray's `fit` blocks: `fit` itself reports no wait and ends none."""

import os
import time
from collections.abc import Callable

from model.errors import FacemillError
from pipelines.cluster.resources import ResourceRequest, supply
from pipelines.storage.lease import Lease
from pipelines.telemetry.log import note

_SILENT_S = 30.0  # without a step, before the cluster is looked at
_HANGS_S = 60.0  # after a worker has said why all end, before the driver does


class Watchdog:
    """Says what a silent group waits for; ends a driver that must not or cannot go on."""

    def __init__(self, ask: ResourceRequest, lease: Lease | None = None) -> None:
        """Watchdog a run.

        Args:
            ask: what the group cannot do without; where the cluster has lost it, that is said.
            lease: of the output; a driver that has lost it must not write there any more.
        """
        self.ask, self.lease = ask, lease
        self._moved_at = self._well_at = time.monotonic()

    def look(self, failure: str, is_silent: bool, say: Callable[[str], None]) -> None:
        """One look, every half second.

        Args:
            failure: why training cannot go on, as a worker said, or ''.
            is_silent: nothing has moved since the last look.
            say: prints a line for people.
        """
        now = time.monotonic()
        if self.lease and self.lease.lost:
            _end(_new_owner(self.lease))
        if not failure:
            self._well_at = now
        elif now - self._well_at > _HANGS_S:  # the others wait for the one that ended
            _end(failure)
        if not is_silent:
            self._moved_at = now
        elif now - self._moved_at > _SILENT_S:
            self._moved_at = now
            cluster = supply()
            if cluster.room(self.ask.each) < self.ask.workers:
                say(f"waiting for {self.ask.text()}: {cluster.text()}")


def _new_owner(lease: Lease) -> str:
    """Who has the output now, beside whose checkpoints `fit` would go on writing its own."""
    try:
        lease.check()
    except FacemillError as error:
        return str(error)
    return "the lease was lost"


def _end(reason: str) -> None:
    """End this process, as nothing ends a `fit`."""
    note(f"failed: {reason}")
    os._exit(1)
