"""The whole path on drawn faces, offline: `make demo`, or `python -m jobs.demo --output demo`.

Draws labelled faces (some files broken on purpose), ingests them, trains a small network on two
workers, evaluates it and scores the folder, with it and with the shipped bundle. Leaves all of it
below --output, which is made anew.
"""

import dataclasses
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from jobs import cli
from model.errors import UsageError
from pipelines.configuration import build


@dataclasses.dataclass(frozen=True)
class DemoOptions:
    """How large a demo, and where."""

    output: Annotated[str, "FOLDER"] = "demo"
    """Folder that is emptied and filled."""
    faces: int = 600
    """Faces to draw."""
    broken: int = 6
    """Files broken on purpose."""
    epochs: int | None = None
    """Passes over the train split; default: the preset's."""
    num_workers: int = 2
    """Data-parallel workers, one core each."""


def job(options: DemoOptions) -> None:
    """Run the six steps and print where the results are."""
    from pipelines.bundles.opening import open_bundle
    from pipelines.cluster.session import start_ray
    from pipelines.images.drawn_faces import draw_faces
    from pipelines.manifests.ingest import ingest_to, summary
    from pipelines.manifests.options import IngestOptions
    from pipelines.scoring import summaries
    from pipelines.scoring.evaluation import evaluate, labelled_rows
    from pipelines.scoring.options import EvaluateOptions, ScoreOptions
    from pipelines.scoring.run import score
    from pipelines.training.claim import settle
    from pipelines.training.options import TrainOptions
    from pipelines.training.run import train

    root, started = Path(options.output).absolute(), time.monotonic()
    if options.faces < 100:
        raise UsageError(f"`faces` {options.faces} is too few to learn from: at least 100")
    if root.exists() and any(root.iterdir()) and not (root / "faces").is_dir():
        raise UsageError(f"`output` {root} is not empty and no earlier demo: choose another")
    shutil.rmtree(root, ignore_errors=True)
    images, manifest = str(root / "faces"), str(root / "manifest")
    print(f"1/6 draw {options.faces} faces and {options.broken} broken files", flush=True)
    draw_faces(root / "faces", options.faces, broken=options.broken)
    start_ray()

    print("2/6 ingest", flush=True)
    files = summary(ingest_to(IngestOptions(images), manifest), manifest)

    print("3/6 train", flush=True)
    to_train = build(
        TrainOptions, manifest=manifest, output=str(root / "train"), preset="demo",
        epochs=options.epochs, num_workers=options.num_workers,
    )  # fmt: skip
    bundle = open_bundle(train(settle(to_train)).bundle_uri)

    print("4/6 evaluate on the test split", flush=True)
    measure = EvaluateOptions(manifest, output=str(root / "evaluate"))
    evaluation = evaluate(measure.scoring(), bundle, labelled_rows(measure))

    print("5/6 score the folder", flush=True)
    mine, theirs = str(root / "score"), str(root / "score-shipped")
    scored = score(build(ScoreOptions, images=(images,), output=mine), bundle)

    shipped = open_bundle(None)
    print(f"6/6 score it with the shipped bundle {shipped.name}, trained on photographs")
    score(build(ScoreOptions, images=(images,), output=theirs), shipped)

    print(f"\nfirst predictions of the demo's network, and of the shipped one, {mine}")
    print(summaries.side_by_side(mine, theirs, rows=5))
    cli.print_table(*summaries.of_evaluation(evaluation, bundle, measure.scoring().place))
    cli.print_table(*summaries.of_run(scored, bundle, mine))
    cli.print_table(f"demo finished in {time.monotonic() - started:,.0f} s", [
        *files, ("curves", root / "train" / "curves.png"), ("of the shipped", theirs),
        ("next", "the same on real faces: see README.md"),
    ])  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(DemoOptions, job, argv)


if __name__ == "__main__":
    main()
