"""Summaries of a training, for people: rows of name and value."""

import statistics
from collections.abc import Sequence

from pipelines import storage
from pipelines.training import layout
from pipelines.training.job import TrainingJob
from pipelines.training.plan import Plan, Trained

Rows = list[tuple[str, object]]


def of_plan(planned: Plan) -> Rows:
    """What `dry_run` found."""
    job, workers = planned.job, planned.job.options.workers
    return [
        ("state", planned.state),
        *of_recipe(job),
        ("images", ", ".join(f"{name} {count:,}" for name, count in planned.images.items())),
        ("workers", f"{workers.workers}, on {workers.device}, in {workers.precision}"),
        ("output", job.output),
    ]


def of_training(job: TrainingJob, trained: Trained) -> Rows:
    """Scores of the best epoch, speed, cost, and where things are."""
    best = trained.history[trained.best_epoch - 1]
    epochs, planned = len(trained.history), job.recipe.epochs
    chosen = "best by val loss" if job.validated else "the last is kept"
    early = f" of {planned}, stopped early" if epochs < planned else ""
    seconds = sum(row["seconds"] for row in trained.history)
    waited = sum(row["seconds"] * row.get("data_wait_share", 0.0) for row in trained.history)
    speed = statistics.median(row["images_per_s"] for row in trained.history)
    return [
        ("epochs", f"{epochs}{early}, {chosen}: {best['epoch']:.0f}"),
        *((name, f"{value:.4f}") for name, value in best.items() if name.startswith("val_")),
        *([("note", trained.note)] if trained.note else []),
        ("speed", f"{speed:,.0f} images/s, {waited / seconds:.1%} of the time waiting for data"),
        ("cost", cost(job, [trained])),
        *rejected(trained.already_done, trained.rejects),
        ("bundle", f"{trained.bundle_uri} ({trained.bundle_id})"),
        ("curves", storage.join(job.output, layout.CURVES)),
    ]


def of_recipe(job: TrainingJob) -> Rows:
    """What is trained, and for how long."""
    recipe = job.recipe
    heads = ", ".join(head.name for head in recipe.heads)
    return [
        ("recipe", f"{recipe.name}: {heads}"),
        ("epochs", f"{recipe.epochs}, in batches of {recipe.global_batch_size}"),
    ]


def rejected(already_done: bool, rejects: Sequence[str]) -> Rows:
    """What could not be decoded; a run that was done before has not looked."""
    return [] if already_done else [("not decodable", f"{len(rejects)} images skipped")]


def cost(job: TrainingJob, trained: Sequence[Trained]) -> str:
    """Core or GPU hours of all training steps."""
    workers = job.options.workers
    # An elastic group may shrink; rows without `workers` had all of them.
    worked = sum(
        row["seconds"] * row.get("workers", workers.workers) * (1 if workers.use_gpu else one.cpus)
        for one in trained
        for row in one.history
    )
    unit = "GPU" if workers.use_gpu else "core"
    return f"{worked / 3600:.2f} {unit} hours of training steps"
