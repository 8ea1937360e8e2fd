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
        self.done = 0
        self._started = self._shown = time.monotonic()
        self._last_done = -1
        self.live = sys.stderr.isatty()

    def advance(self, count: int, note: str = "") -> None:
        """Count `count` more and show it, at most twice a second live or every five in a log."""
        self.done += count
        now = time.monotonic()
        if now - self._shown >= (0.5 if self.live else 5.0):
            self._shown = now
            self._show(note)

    def interject(self, line: str) -> None:
        """Print a line that stays, on stdout, above the live line."""
        if self.live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        print(line, flush=True)

    def close(self, note: str = "") -> float:
        """Show the final count; returns the seconds taken."""
        self._show(note)
        if self.live:
            print(file=sys.stderr)
        return time.monotonic() - self._started

    @property
    def rate(self) -> float:
        """Counted a second, since the start."""
        return self.done / max(time.monotonic() - self._started, 1e-6)

    def _show(self, note: str) -> None:
        rate = self.rate
        of = f" / {self.total:,}" if self.total is not None else ""
        text = f"{self.title}: {self.done:,}{of} {self.unit}, {rate:,.0f}/s"
        if self.total is not None and rate > 0 and self.done < self.total:
            text += f", {(self.total - self.done) / rate:,.0f} s left"
        if note:
            text += f", {note}"
        if self.live:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif self.done != self._last_done:
            print(text, file=sys.stderr, flush=True)
        self._last_done = self.done
