"""The door that every write of state passes, at which a test can stop it.

What passes: puts, conditional puts, files put in place, uploads, deletions; of the outputs of every
job. What does not: Ray Train's own checkpoints, TensorBoard's events and scratch files of a run.
"""

import contextlib
from collections.abc import Callable, Generator
from typing import Literal

Moment = Literal["before", "half", "after"]
Watcher = Callable[[Moment, str, str], None]  # (moment, operation, uri)
_watchers: list[Watcher] = []


@contextlib.contextmanager
def watched(watcher: Watcher) -> Generator[None]:
    """Meanwhile `watcher` hears of every write of this process; what it raises stops the write."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


@contextlib.contextmanager
def announced(operation: str, uri: str) -> Generator[Callable[[], None]]:
    """A write passes the door: told before and after.

    Yields:
        What to call in the midst of the write, where the store lets half of it be there.
    """
    _announce("before", operation, uri)
    yield lambda: _announce("half", operation, uri)
    _announce("after", operation, uri)


def _announce(moment: Moment, operation: str, uri: str) -> None:
    for watcher in _watchers:
        watcher(moment, operation, uri)
