"""Progress on anything over five seconds: one live line on a terminal, plain lines in a log."""

import sys
import time


class Progress:
    """Counts done / total, rate and time left.

    Attributes:
        unit: what is counted, plural.
    """

    def __init__(self, title: str, total: int | None, unit: str = "images") -> None:
        """Start the clock; `total` None where it is not known yet."""
        self.title, self.total, self.unit = title, total, unit
        self.done = self._before = 0
        self._started = self._shown = time.monotonic()
        self._last_done = -1
        self._first: tuple[int, float] | None = None  # count and time of the first advance
        self.live = sys.stderr.isatty()

    def resume_at(self, done: int) -> None:
        """Count what an earlier run did, which is no part of this one's rate."""
        self.done = self._before = done

    def advance(self, count: int, note: str = "") -> None:
        """Count `count` more and show it, at most twice a second live or every five in a log."""
        self.done += count
        now = time.monotonic()
        self._first = self._first or (self.done, now)
        if now - self._shown >= (0.5 if self.live else 5.0):
            self._shown = now
            self.show(note)

    def interject(self, line: str) -> None:
        """Print a line that stays, on stdout, above the live line."""
        if self.live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        print(line, flush=True)

    def close(self, note: str = "") -> float:
        """Show the final count; returns the seconds taken."""
        self.show(note)
        if self.live:
            print(file=sys.stderr)
        return time.monotonic() - self._started

    @property
    def rate(self) -> float:
        """Counted a second, since the start."""
        return (self.done - self._before) / max(time.monotonic() - self._started, 1e-6)

    def _left_s(self) -> float | None:
        """Seconds left at the rate since the first advance: what came before it was start-up."""
        if self.total is None or self._first is None or self.done >= self.total:
            return None
        done, seconds = self.done - self._first[0], time.monotonic() - self._first[1]
        return (self.total - self.done) * seconds / done if done > 0 else None

    def show(self, note: str = "") -> None:
        """Show it now; in a log only if it has changed since."""
        rate = self.rate
        of = f" / {self.total:,}" if self.total is not None else ""
        text = f"{self.title}: {self.done:,}{of} {self.unit}, {rate:,.0f}/s"
        left_s = self._left_s()
        if left_s is not None:
            text += f", {left_s:,.0f} s left"
        if note:
            text += f", {note}"
        if self.live:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif self.done != self._last_done:
            print(text, file=sys.stderr, flush=True)
        self._last_done = self.done
