"""Announces every write of an output before, amid and after it, so that a test can stop it there.

Announced are puts, conditional puts, files put in place, uploads and deletions of every job; not
Ray Train's own checkpoints, TensorBoard's events and a run's scratch files.
"""

import contextlib
from collections.abc import Callable, Generator
from typing import Literal

Moment = Literal["before", "half", "after"]
WriteWatcher = Callable[[Moment, str, str], None]  # (moment, operation, uri)
_watchers: list[WriteWatcher] = []


@contextlib.contextmanager
def watched(watcher: WriteWatcher) -> Generator[None]:
    """Call `watcher` at every write of this process during the block; what it raises stops it."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


@contextlib.contextmanager
def announced(operation: str, uri: str) -> Generator[Callable[[], None]]:
    """Announce a write before and after the block.

    Yields:
        What to call amid the write, where a store can be left with half of it.
    """
    _announce("before", operation, uri)
    yield lambda: _announce("half", operation, uri)
    _announce("after", operation, uri)


def _announce(moment: Moment, operation: str, uri: str) -> None:
    for watcher in _watchers:
        watcher(moment, operation, uri)
