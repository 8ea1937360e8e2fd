"""The summary of a finished training run, for people."""

import statistics

from pipelines import storage
from pipelines.training import layout
from pipelines.training.claim import Trained, TrainingJob


def summary(job: TrainingJob, trained: Trained, cpus: int) -> list[tuple[str, object]]:
    """Scores of the best epoch, speed, cost, and where things are: rows of name and value.

    Args:
        job: what was trained.
        trained: what it left.
        cpus: cores of each worker.
    """
    best = trained.history[trained.best_epoch - 1]
    workers = job.options.workers
    epochs, planned = len(trained.history), job.recipe.epochs
    early = f" of {planned}, stopped early" if epochs < planned else ""
    seconds = sum(row["seconds"] for row in trained.history)
    # An elastic group may shrink; rows without `workers` had all of them.
    worked = sum(
        row["seconds"] * row.get("workers", workers.num_workers) for row in trained.history
    )
    waited = sum(row["seconds"] * row.get("data_wait_share", 0.0) for row in trained.history)
    speed = statistics.median(row["images_per_s"] for row in trained.history)
    unit = "GPU" if workers.use_gpu else "core"
    units_per_worker = 1 if workers.use_gpu else cpus
    return [
        ("epochs", f"{epochs}{early}, best by val loss: {best['epoch']:.0f}"),
        *((name, f"{value:.4f}") for name, value in best.items() if name.startswith("val_")),
        *([("note", trained.note)] if trained.note else []),
        ("speed", f"{speed:,.0f} images/s, {waited / seconds:.1%} of the time waiting for data"),
        ("cost", f"{worked * units_per_worker / 3600:.2f} {unit} hours of training steps"),
        ("not decodable", f"{len(trained.rejects)} images left out"),
        ("bundle", f"{trained.bundle_uri} ({trained.bundle_id})"),
        ("curves", storage.join(job.output, layout.CURVES)),
    ]
