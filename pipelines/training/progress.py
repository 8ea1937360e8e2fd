"""A training run while Ray's `fit` blocks: its progress, carried from rank 0, and a watchdog.

`fit` itself reports no wait and ends none.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import ray

from model.errors import FacemillError
from model.recipes import Recipe
from pipelines.cluster.actors import start_on_driver_node
from pipelines.cluster.resources import ResourceRequest, supply
from pipelines.storage.lease import Lease
from pipelines.telemetry.log import note
from pipelines.telemetry.progress import Progress

_SILENT_S = 30.0  # without a step, before the cluster is looked at
_HANGS_S = 60.0  # after a worker has said why all end, before the driver does


@ray.remote(num_cpus=0)
class ProgressActor:
    """Carries progress from rank 0 to the driver; made by `open_board`."""

    def __init__(self) -> None:
        """Start empty."""
        self.step: tuple[int, int, int] | None = None
        self.rows: list[dict[str, float]] = []
        self.failure = ""

    def fail(self, reason: str) -> None:
        """Training cannot go on, on any rank."""
        self.failure = reason

    def failed(self) -> str:
        """Why training cannot go on, or ''."""
        return self.failure

    def step_done(self, epoch: int, step: int, steps: int) -> None:
        """Step `step` of `steps` of an epoch is done."""
        self.step = (epoch, step, steps)

    def epoch_done(self, row: dict[str, float]) -> None:
        """An epoch is done, with these scores."""
        self.rows.append(row)

    def take(self) -> tuple[tuple[int, int, int] | None, list[dict[str, float]]]:
        """The latest step, and the epochs since the last call."""
        rows, self.rows = self.rows, []
        return self.step, rows


def open_board() -> Any:
    """A board on the driver's own node: elsewhere, losing that node would end the run."""
    return start_on_driver_node(ProgressActor)


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


class Watcher(threading.Thread):
    """Prints the epoch table and the step progress from the board while `fit` blocks."""

    def __init__(
        self,
        board: Any,
        recipe: Recipe,
        on_epoch: Callable[[Mapping[str, float]], None],
        guard: Watchdog,
        workers: int = 1,
        part: str = "",
    ) -> None:
        """Watch a run.

        Args:
            board: an actor handle.
            recipe: what is trained.
            on_epoch: gets every epoch's row.
            guard: looks after the run at every turn.
            workers: how many there shall be; an elastic group may have fewer.
            part: which of several trainings it is, as text, or ''.
        """
        super().__init__(daemon=True)
        self.board, self.recipe, self.on_epoch, self.guard = board, recipe, on_epoch, guard
        self.workers, self.part = workers, part
        self._stopped = threading.Event()

    def run(self) -> None:
        """Poll and print until `stop`."""
        title = f"train {self.part}".rstrip()
        progress, last = Progress(title, None, "steps"), (0, 0)
        while not self._stopped.wait(0.5):
            failure: str = ray.get(self.board.failed.remote())
            step, rows = ray.get(self.board.take.remote())
            moved = bool(step) and step[:2] != last
            self.guard.look(failure, is_silent=not (rows or moved), say=progress.interject)
            for row in rows:
                progress.interject(self._line(row))
                self.on_epoch(row)
            if moved:
                self._advance(progress, *step)
                last = step[:2]

    def _advance(self, progress: Progress, epoch: int, step: int, steps: int) -> None:
        done = (epoch - 1) * steps + step
        progress.total = self.recipe.epochs * steps
        if not progress.done:
            progress.resume_at(done - 1)  # a resumed run starts in the middle
        progress.advance(done - progress.done, f"epoch {epoch}/{self.recipe.epochs}")

    def stop(self) -> None:
        """Show what is left and end."""
        self._stopped.set()
        self.join(timeout=5)
        _, rows = ray.get(self.board.take.remote())
        for row in rows:
            print(self._line(row), flush=True)
            self.on_epoch(row)

    def _line(self, row: Mapping[str, float]) -> str:
        line = epoch_line(row, self.recipe, self.workers)
        return f"{self.part}: {line}" if self.part else line


def epoch_line(row: Mapping[str, float], recipe: Recipe, workers: int = 1) -> str:
    """`epoch  3/12  loss 9.12  val 8.80  gender 84.1 %  age MAE 8.41  118 images/s`.

    With several workers planned it ends in `1 of 2 workers`. Without a val split the heads' scores
    are those of train.
    """
    text = f"epoch {row['epoch']:>3}/{recipe.epochs}  loss {row['train_loss']:6.3f}"
    split = "val" if "val_loss" in row else "train"
    text += f"  val {row['val_loss']:6.3f}" if split == "val" else "  on train:"
    for head in recipe.heads:
        if f"{split}_{head.name}_mae" in row:
            text += f"  {head.name} MAE {row[f'{split}_{head.name}_mae']:5.2f} years"
        else:
            text += f"  {head.name} {100 * row[f'{split}_{head.name}_accuracy']:5.1f} %"
    text += f"  {row['images_per_s']:,.0f} images/s"
    return text + (f"  {row['workers']:.0f} of {workers} workers" if workers > 1 else "")
