"""Reads of a disk that are given up after a while, as a mount or a FUSE daemon may never answer.

No signal ends such a read, so another thread does it, and is left behind where it hangs. To hand a
read over costs some 20 microseconds.
"""

import errno
import io
import os
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from pipelines.environment import seconds

Result = TypeVar("Result")
_TIMEOUT_S = 60.0  # 256 MiB, the largest file taken, at 4.5 MB/s


class _Reader(threading.Thread):
    """A thread that reads for others, one after the other."""

    def __init__(self) -> None:
        super().__init__(name="timed-read", daemon=True)  # one that hangs must not hold up the exit
        self.work = queue.SimpleQueue[tuple[Callable[[], Any], queue.SimpleQueue[Any]]]()
        self.start()

    def run(self) -> None:
        while True:
            act, answers = self.work.get()
            try:
                answer = (act(), None)
            except BaseException as error:
                answer = (None, error)
            _IDLE.append(self)
            answers.put(answer)
            del act, answers, answer  # it may be idle for long, and an image is large


_IDLE = list[_Reader]()  # append and pop are atomic
os.register_at_fork(after_in_child=_IDLE.clear)  # a child has none of the threads


def timeout_s() -> float:
    """Seconds after which a read is given up: FACEMILL_READ_S (60)."""
    return seconds("FACEMILL_READ_S", _TIMEOUT_S)


def within(act: Callable[[], Result], path: str, limit_s: float | None = None) -> Result:
    """`act()`, whatever it raises, done by another thread.

    Args:
        act: reads, and leaves nothing behind if it never ends.
        path: of what, for the message.
        limit_s: seconds it may take; default: `timeout_s`.

    Raises:
        TimeoutError: it takes longer.
    """
    limit_s = timeout_s() if limit_s is None else limit_s
    try:
        reader = _IDLE.pop()
    except IndexError:
        reader = _Reader()
    answers = queue.SimpleQueue[Any]()
    reader.work.put((act, answers))
    try:
        result, error = answers.get(timeout=limit_s)
    except queue.Empty:
        why = f"it was not read within {limit_s:g} s (FACEMILL_READ_S)"
        raise TimeoutError(errno.ETIMEDOUT, why, path) from None
    if error is not None:
        raise error
    return result


class TimedFile(io.RawIOBase):
    """A file to read and seek in, each of whose reads is given up after a while."""

    def __init__(self, open_file: Callable[[], Any], path: str) -> None:
        """Open it, unbuffered: of a buffer a read that hangs would hold the lock."""
        self._path, self._hangs = path, False
        self._file: Any = within(open_file, path)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go there."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Where it stands."""
        return self._file.tell()

    def readinto(self, buffer: Any, /) -> int:
        """Read as much as fits."""
        # Not into the buffer itself: a read that was given up may end when that is gone.
        file, size = self._file, len(buffer)
        try:
            data = within(lambda: file.read(size), self._path)
        except TimeoutError:
            self._hangs = True
            raise
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Let it go; not while a read hangs, as closing would hang too."""
        if not self.closed and not self._hangs:
            self._file.close()
        super().close()
