"""The whole path on drawn faces, offline: `make demo`, or `python -m jobs.demo --output demo`.

Draws labelled faces (some files broken on purpose), ingests them, trains a small network on two
workers, evaluates it and scores the folder, with it and with the shipped bundle. Leaves all of it
below --output, which is made anew.
"""

import dataclasses
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs import cli
from model.errors import UsageError
from model.metrics import Estimate
from model.presets import preset
from pipelines.bundles.opening import open_bundle
from pipelines.images.drawn_faces import draw_faces
from pipelines.manifests import manifest
from pipelines.manifests.ingest import IngestOptions, ingest, write_ingested
from pipelines.predictions import schemas
from pipelines.scoring import run
from pipelines.scoring.evaluation import evaluate
from pipelines.scoring.run import ScoreOptions


@dataclasses.dataclass(frozen=True)
class DemoConfig:
    """Arguments of `jobs.demo`."""

    output: str = "demo"
    """Folder that is emptied and filled."""
    faces: int = 600
    """Faces to draw."""
    broken: int = 6
    """Files broken on purpose."""
    epochs: int | None = None
    """Passes over the train split; default: the preset's."""
    num_workers: int = 2
    """Data-parallel workers, one core each."""


def job(config: DemoConfig) -> None:
    """Run the six steps and print where the results are."""
    output = Path(config.output).absolute()
    if config.faces < 100:
        raise UsageError(f"--faces {config.faces} is too few to learn from: at least 100")
    if output.exists() and any(output.iterdir()) and not (output / "faces").is_dir():
        raise UsageError(f"--output {output} is not empty and no earlier demo: choose another")
    shutil.rmtree(output, ignore_errors=True)
    started = time.monotonic()
    print(f"1/6 draw {config.faces} faces and {config.broken} broken files", flush=True)
    draw_faces(output / "faces", config.faces, broken=config.broken)
    cli.start_ray()

    print("2/6 ingest", flush=True)
    options = IngestOptions(str(output / "faces"))
    ingested = ingest(options)
    record = write_ingested(ingested, options, str(output / "manifest"))

    print("3/6 train", flush=True)
    from pipelines.training.run import TrainOptions, train

    recipe = preset("demo")
    recipe = dataclasses.replace(recipe, epochs=config.epochs or recipe.epochs)
    trained = train(
        TrainOptions(recipe, str(output / "manifest"), str(output / "train"), config.num_workers)
    )

    print("4/6 evaluate on the test split", flush=True)
    bundle = open_bundle(trained.bundle_uri)
    rows = manifest.labelled(ingested.table, "test")
    labelled = ScoreOptions(str(output / "manifest"), "table", str(output / "evaluate"))
    measured = evaluate(bundle, rows, labelled)

    print("5/6 score the folder", flush=True)
    target = str(output / "score")
    scored = run.score(ScoreOptions(options.images, "images", target), bundle).record

    other = str(output / "score-shipped")
    _score_with_shipped(options.images, other)
    _print_first_predictions(target, other)
    _print_summary(output, time.monotonic() - started, record, measured.metrics, scored)


def _print_summary(
    output: Path,
    seconds: float,
    files: Mapping[str, Any],
    figures: Mapping[str, Estimate],
    scored: Mapping[str, Any],
) -> None:
    cli.print_table(
        f"demo finished in {seconds:,.0f} s",
        [
            (
                "files",
                f"{files['files']} = {files['manifest']} manifest + {files['rejects']} rejects",
            ),
            ("age MAE", figures["age_mae"].text(1) + " years on drawn faces it never saw"),
            ("gender", figures["gender_accuracy"].text(1, percent=True)),
            (
                "scored",
                f"{scored['scored']} + {scored['quarantined']} quarantined = {scored['inputs']}",
            ),
            ("reasons", ", ".join(f"{n} {r}" for r, n in scored["quarantine_reasons"].items())),
            ("curves", output / "train" / "curves.png"),
            ("bundle", output / "train" / "bundle"),
            ("predictions", output / "score" / "predictions"),
            ("of the shipped", output / "score-shipped" / "predictions"),
            ("next", "the same on real faces: see README.md"),
        ],
    )


def _score_with_shipped(images: str, output: str) -> None:
    shipped = open_bundle(None)
    print(
        f"6/6 score it with the shipped bundle {shipped.name}, trained on photographs", flush=True
    )
    run.score(ScoreOptions(images, "images", output, "auto"), shipped)


def _print_first_predictions(output: str, shipped: str) -> None:
    """Five rows of both; the shipped bundle knows photographs, and these are drawings."""
    print("\nfirst predictions of the demo's network, and of the shipped one")
    frame = schemas.read_predictions(output).slice(0, 5).to_pandas()
    other = schemas.read_predictions(shipped).to_pandas().set_index("uri")
    for name in ("age_years", "gender"):
        frame[f"shipped_{name}"] = frame["uri"].map(other[name])
    frame["uri"] = frame["uri"].str.rsplit("/", n=1).str[-1]
    shown = frame[["uri", "age_years", "gender", "shipped_age_years", "shipped_gender"]]
    print(shown.to_string(index=False, float_format="{:.1f}".format))


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(DemoConfig, job, argv)


if __name__ == "__main__":
    main()
