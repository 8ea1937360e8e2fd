"""Live progress of a training run: the epoch table and the step line, carried from rank 0."""

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from model.errors import FacemillError
from model.recipes import Recipe
from pipelines.cluster.resources import Ask, supply
from pipelines.storage.lease import Lease
from pipelines.telemetry.progress import Progress

_SILENT_S = 30.0  # without a step, before the cluster is looked at
_HANGS_S = 60.0  # after a worker has said why all end, before the driver does


@ray.remote(num_cpus=0)
class Board:
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
    here = ray.get_runtime_context().get_node_id()
    board: Any = Board
    return board.options(
        scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False)
    ).remote()


class Watcher(threading.Thread):
    """Prints the epoch table and the step progress from the board while `fit` blocks."""

    def __init__(
        self,
        board: Any,
        recipe: Recipe,
        on_epoch: Callable[[Mapping[str, float]], None],
        ask: Ask,
        workers: int = 1,
        lease: Lease | None = None,
    ) -> None:
        """Watch a run.

        Args:
            board: an actor handle.
            recipe: what is trained.
            on_epoch: gets every epoch's row.
            ask: what the group cannot do without; where the cluster has lost it, that is said.
            workers: how many there shall be; an elastic group may have fewer.
            lease: of the output; a driver that has lost it must not write there any more.
        """
        super().__init__(daemon=True)
        self.board, self.recipe, self.on_epoch, self.ask = board, recipe, on_epoch, ask
        self.workers, self.lease = workers, lease
        self._stopped = threading.Event()

    def run(self) -> None:
        """Poll and print until `stop`."""
        progress, last = Progress("train", None, "steps"), (0, 0)
        looked = failed = time.monotonic()
        while not self._stopped.wait(0.5):
            if self.lease and self.lease.lost:
                self._give_up(self._whose(self.lease))
            reason: str = ray.get(self.board.failed.remote())
            if not reason:
                failed = time.monotonic()
            elif time.monotonic() - failed > _HANGS_S:  # the others wait for the one that ended
                self._give_up(reason)
            step, rows = ray.get(self.board.take.remote())
            if rows or (step and step[:2] != last):
                looked = time.monotonic()
            elif time.monotonic() - looked > _SILENT_S:
                looked = time.monotonic()
                self._say_what_is_missing(progress)
            for row in rows:
                progress.interject(epoch_line(row, self.recipe, self.workers))
                self.on_epoch(row)
            if step and step[:2] != last:
                done = (step[0] - 1) * step[2] + step[1]
                progress.total = self.recipe.epochs * step[2]
                if not progress.done:
                    progress.go_on_from(done - 1)  # a resumed run starts in the middle
                progress.advance(done - progress.done, f"epoch {step[0]}/{self.recipe.epochs}")
                last = step[:2]

    def _whose(self, lease: Lease) -> str:
        """Who has the output now, beside whose checkpoints `fit` would go on writing its own."""
        try:
            lease.check()
        except FacemillError as error:
            return str(error)
        return "the lease was lost"

    def _give_up(self, reason: str) -> None:
        """End this process, as nothing ends a `fit` that must not or cannot go on."""
        print(f"failed: {reason}", file=sys.stderr, flush=True)
        os._exit(1)

    def _say_what_is_missing(self, progress: Progress) -> None:
        """Ray waits without a word for room that a lost node has taken away."""
        found = supply()
        if found.room(self.ask.each) < self.ask.workers:
            progress.interject(f"waiting for {self.ask.text()}: {found.text()}")

    def stop(self) -> None:
        """Show what is left and end."""
        self._stopped.set()
        self.join(timeout=5)
        _, rows = ray.get(self.board.take.remote())
        for row in rows:
            print(epoch_line(row, self.recipe, self.workers), flush=True)
            self.on_epoch(row)


def epoch_line(row: Mapping[str, float], recipe: Recipe, workers: int = 1) -> str:
    """`epoch  3/12  loss 9.12  val 8.80  gender 84.1 %  age MAE 8.41  118 images/s`.

    With several workers planned it ends in `1 of 2 workers`.
    """
    text = f"epoch {row['epoch']:>3}/{recipe.epochs}"
    text += f"  loss {row['train_loss']:6.3f}  val {row['val_loss']:6.3f}"
    for head in recipe.heads:
        if f"val_{head.name}_mae" in row:
            text += f"  {head.name} MAE {row[f'val_{head.name}_mae']:5.2f} years"
        else:
            text += f"  {head.name} {100 * row[f'val_{head.name}_accuracy']:5.1f} %"
    text += f"  {row['images_per_s']:,.0f} images/s"
    return text + (f"  {row['workers']:.0f} of {workers} workers" if workers > 1 else "")
