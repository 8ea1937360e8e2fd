"""Cross-fitting on real Ray Train workers: every label answered by a network that never saw it."""

import contextlib
import dataclasses
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pytest

from demo.drawn_faces import draw_faces
from model.bundle import Bundle, read_bundle
from model.calibration import Reading
from model.errors import UsageError
from model.metrics import Estimate
from model.predictor import Predictor
from model.presets import preset
from model.recipes import Recipe
from pipelines.bundles.calibrating import require_unseen
from pipelines.bundles.opening import SHIPPED, open_bundle
from pipelines.images.decoding import decode_manifest
from pipelines.manifests import manifest
from pipelines.manifests.ingest import ingest, write_ingested
from pipelines.manifests.leakage import share_seen
from pipelines.manifests.options import IngestOptions
from pipelines.manifests.sources.rows import Rows
from pipelines.manifests.splits import fold_of
from pipelines.predictions import out_of_fold
from pipelines.predictions.label_issues import conflicting_duplicates_of
from pipelines.reporting.model_card import write_card
from pipelines.scoring import summaries
from pipelines.scoring.evaluation import evaluate
from pipelines.storage import tables
from pipelines.training import fold_figures
from pipelines.training.folds import CrossFitted, folds_of, train_folds
from pipelines.training.job import TrainingJob
from pipelines.training.plan import with_splits
from tests.pipelines.training.finished import small_recipe
from tests.robustness.killing import kill_family
from tests.runs import score_options, training_job

FOLDS = 3
RECIPE = small_recipe()


@dataclasses.dataclass(frozen=True)
class Finished:
    """A run with folds that several tests look at."""

    job: TrainingJob
    result: CrossFitted

    @property
    def output(self) -> Path:
        return Path(self.job.output)

    @property
    def rows(self) -> pa.Table:
        return tables.read_table(str(self.output / "out_of_fold.parquet"))

    def bundle(self, part: str) -> Bundle:
        return read_bundle(self.output / part / "bundle")


def replaced(table: pa.Table, name: str, values: Any) -> pa.Table:
    """The table with other values of a column."""
    place = table.column_names.index(name)
    field = table.schema.field(place)
    return table.set_column(place, field, pa.array(values, field.type))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> str:
    """A manifest of 90 faces, of two of which there is a copy that is labelled otherwise."""
    folder = tmp_path_factory.mktemp("labelled")
    faces = folder / "faces"
    paths = draw_faces(faces, 90, seed=0)
    for number, path in enumerate(sorted(paths)[:2]):
        shutil.copy(path, faces / f"{60 + number}_0_0_2016010100000000{number}.jpg.chip.jpg")
    options = IngestOptions(str(faces))
    write_ingested(ingest(options), options, str(folder / "manifest"))
    return str(folder / "manifest")


def job_of(manifest_uri: str, output: Path, recipe: Recipe = RECIPE, **options: Any) -> TrainingJob:
    values = {"folds": FOLDS, "cpus_per_worker": 1, **options}
    return training_job(recipe, manifest_uri, str(output), **values)


@pytest.fixture(scope="module")
def crossed(labelled: str, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Three folds at once, and the final network."""
    job = job_of(labelled, tmp_path_factory.mktemp("crossed"), final=True)
    return Finished(job, train_folds(job, at_once=FOLDS))


def test_every_labelled_image_is_answered_by_the_network_of_its_fold(crossed: Finished) -> None:
    table = manifest.read_manifest(crossed.job.manifest)
    rows = crossed.rows
    assert rows.column_names == out_of_fold.OUT_OF_FOLD_SCHEMA.names
    assert rows["uri"].to_pylist() == sorted(table["uri"].to_pylist())
    hashes = dict(zip(table["uri"].to_pylist(), table["content_hash"].to_pylist(), strict=True))
    folds = rows["fold"].to_pylist()
    assert folds == [fold_of(hashes[uri], FOLDS) for uri in rows["uri"].to_pylist()]
    for index in range(FOLDS):
        bundle = crossed.bundle(f"fold-{index}")
        mine = rows.filter(pa.array(np.array(folds) == index))
        assert {*mine["bundle_id"].to_pylist()} == {bundle.id}
        assert bundle.record["training"]["part"] == f"fold {index} of {FOLDS}"
        unseen = table.filter(pa.array([fold_of(h, FOLDS) == index for h in hashes.values()]))
        assert share_seen(bundle.record, unseen) == 0
        pixels = decode_manifest(unseen, bundle.input).pixels
        said = Predictor(bundle).predict(pixels)
        assert mine["age_years"].to_numpy() == pytest.approx(said["age_years"], abs=1e-3)
        assert mine["p_female_raw"].to_numpy() == pytest.approx(said["p_female"], abs=1e-4)


def test_copies_share_a_fold_and_a_network_never_sees_its_own_in_any_split(
    labelled: str, tmp_path: Path
) -> None:
    table = manifest.labelled(manifest.read_manifest(labelled), None)
    for index, part in enumerate(folds_of(job_of(labelled, tmp_path), table)):
        frame: Any = part.table.to_pandas()
        own = frame["content_hash"].map(lambda name: fold_of(name, FOLDS)) == index
        assert ((frame["split"] == "test") == own).all()
        assert (frame.groupby("content_hash")["split"].nunique() == 1).all()
        assert {*frame["split"]} == {"train", "val", "test"}


def test_a_fold_s_output_is_a_training_s_and_lies_below_one_lease(crossed: Finished) -> None:
    output = crossed.output
    names = {path.name for path in (output / "fold-0").iterdir()}
    assert {"train.json", "bundle", "history.parquet", "curves.png", "weights.npz"} <= names
    assert not list(output.rglob("lease.json")) and not list(output.rglob("decoded"))
    record = tables.read_json(str(output / "metrics.json"))
    assert record["bundles"] == [crossed.bundle(f"fold-{k}").id for k in range(FOLDS)]
    assert (
        len(conflicting_duplicates_of(tables.read_table(str(output / "label_issues.parquet")))) >= 2
    )
    assert record["images"] == 92 == sum(fold["images"] for fold in record["folds"])
    assert 1 <= record["epochs"]["agreed"] <= RECIPE.epochs
    for group, some in (("age", "21-30"), ("gender", "female"), ("race", "asian")):
        cells = {cell["group"][group]: cell for cell in record["by"][group]}
        assert cells[some]["images"] > 0
        assert sum(cell["images"] for cell in cells.values()) == 92
    age = crossed.rows["true_age_years"].to_numpy()
    inside = (age >= 21) & (age <= 60)
    assert record["ages_21_60"]["age_mae"]["images"] == inside.sum()
    assert list(record["ages_11_up"]) == ["gender_accuracy", "gender_auc"]
    assert record["ages_11_up"]["gender_accuracy"]["images"] == (age >= 11).sum()
    assert record["metrics"]["age_mae"]["low"] < record["metrics"]["age_mae"]["high"]


def test_intervals_and_probabilities_of_a_fold_come_from_the_others(crossed: Finished) -> None:
    rows = crossed.rows
    assert rows["age_low_years"].null_count == rows["p_female"].null_count == 0
    parts = [
        tables.read_table(str(crossed.output / f"fold-{k}" / "out_of_fold.parquet"))
        for k in range(FOLDS)
    ]
    labels = parts[0]["true_age_years"].to_numpy() + 50.0
    parts[0] = replaced(parts[0], "true_age_years", labels)
    again = out_of_fold.joined(parts, preset("demo").kept_heads)
    mine = rows["fold"].to_numpy() == 0
    before, after = (table["age_high_years"].to_numpy() for table in (rows, again))
    assert (before[mine] == after[mine]).all()  # its own labels have no say in it
    assert (before[~mine] != after[~mine]).any()


def test_a_run_that_is_done_does_nothing_and_one_with_another_count_is_refused(
    crossed: Finished,
) -> None:
    again = train_folds(crossed.job, at_once=1)
    assert again.already_done
    assert again.record["metrics"] == crossed.result.record["metrics"]
    other = job_of(crossed.job.manifest, crossed.output, folds=2)
    with pytest.raises(UsageError, match=r"another training run \(folds was 3, is 2\)"):
        train_folds(other)
    with pytest.raises(UsageError, match=r"another training run \(folds was 3, is None\)"):
        from pipelines.training.run import train

        train(job_of(crossed.job.manifest, crossed.output, folds=None))


def test_what_was_lost_of_one_fold_is_made_again_to_the_same_rows(
    crossed: Finished, tmp_path: Path
) -> None:
    output = tmp_path / "copy"
    shutil.copytree(crossed.output, output)
    for name in ("out_of_fold.parquet", "metrics.json", "fold-1/out_of_fold.parquet"):
        (output / name).unlink()
    for name in ("final", "fold-1/bundle", "fold-2"):
        shutil.rmtree(output / name)
    job = dataclasses.replace(crossed.job, output=str(output))
    again = Finished(job, train_folds(job, at_once=2))
    assert [one.already_done for one in again.result.trained] == [True, False, False]
    assert again.rows.equals(crossed.rows)
    assert again.bundle("final").id == crossed.bundle("final").id


def test_the_final_network_saw_every_label_and_says_so(crossed: Finished, tmp_path: Path) -> None:
    bundle, rows = crossed.bundle("final"), crossed.rows
    record = bundle.record
    assert crossed.result.final and crossed.result.final.bundle_id == bundle.id
    assert record["seen"]["images"] == 88  # two pairs of copies contradict each other: left out
    assert record["best_epoch"] == len(record["history"]) == record["recipe"]["epochs"]
    assert record["recipe"]["epochs"] == crossed.result.record["epochs"]["agreed"]
    assert not any(name.startswith("val_") for name in record["history"][0])
    assert record["calibration"]["split"] == "out_of_fold"
    assert record["calibration"]["age"]["images"] == 90 == rows.num_rows - 2  # copies count once
    assert list(record["profile"]) == ["out_of_fold"]
    assert record["cross_fitting"]["taught"] == ["age", "gender"]
    assert record["int8"] == {"refused": "not every fold has an int8 network to measure it by"}
    assert record["metrics"] == {"cross_validated": crossed.result.record["metrics"]}
    answers = Predictor(bundle).answers(np.zeros((1, *bundle.input.shape), np.uint8), Reading())
    assert answers["age_low_years"] <= answers["age_high_years"]
    write_card(bundle, str(tmp_path))
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert "cross-validated figures of the recipe" in card
    assert "no image here measures this very network" in card
    assert "Fitted on out-of-fold rows" in card


def test_images_that_were_seen_calibrate_nothing_and_are_told_beside_every_figure(
    crossed: Finished, tmp_path: Path
) -> None:
    source, final = crossed.job.manifest, crossed.bundle("final")
    table = manifest.read_manifest(source)
    with pytest.raises(UsageError) as error:
        require_unseen(final, table, source)
    assert str(error.value).startswith(
        f"the bundle was trained on 93% of the val images of `manifest` {source}, so "
    )
    assert str(error.value).endswith("It is a final network: its calibration comes from its folds.")
    rows = manifest.labelled(table, "test", "drop")
    options = score_options(output=str(tmp_path / "seen"), compute="float32")
    seen = evaluate(options, final, Rows(source, rows))
    assert seen.seen == tables.read_json(str(tmp_path / "seen" / "metrics.json"))["seen"] == 1
    _, lines = summaries.of_evaluation(seen, final, "o")
    figures = [text for _, text in lines if re.search(r"\([\d.-]+ to [\d.-]+\)", str(text))]
    assert len(figures) > 5
    assert all(
        "too good: the network was trained on 100% of these images" in str(f) for f in figures
    )


def test_two_recipes_are_compared_image_by_image(crossed: Finished, tmp_path: Path) -> None:
    rows, source = crossed.rows, crossed.job.manifest
    age = rows["age_years"].to_numpy()
    worse = age + np.where(age > rows["true_age_years"].to_numpy(), 1.0, -1.0)
    other = replaced(rows, "age_years", worse).slice(0, 80)
    tables.write_table(str(tmp_path / "out_of_fold.parquet"), other)
    options = job_of(source, crossed.output, compare=str(tmp_path), final=True).options
    compared = train_folds(dataclasses.replace(crossed.job, options=options)).record["compared"]
    assert compared["images"] == 80
    difference = Estimate(**compared["all"]["age_mae"])  # ours is a year better, on every image
    assert difference.value == pytest.approx(-1.0, abs=1e-4)
    assert difference.high - difference.low < 1e-3
    assert compared["all"]["gender_accuracy"]["value"] == 0
    assert compared["ages_21_60"]["age_mae"]["images"] < 80
    assert train_folds(crossed.job).record["compared"] == compared  # kept, once it is known
    face = replaced(rows, "face_left", [5.0] * rows.num_rows)
    once, twice = (fold_figures.compared(t, t, "") for t in (rows, pa.concat_tables([rows, face])))
    assert twice == once  # a label with two rows is compared once


def test_a_run_of_other_images_or_none_is_not_compared_with(
    crossed: Finished, tmp_path: Path
) -> None:
    rows = crossed.rows
    gone = replaced(rows, "uri", [f"/gone/{number}" for number in range(rows.num_rows)])
    tables.write_table(str(tmp_path / "elsewhere" / "out_of_fold.parquet"), gone)
    (tmp_path / "nothing").mkdir()
    for name, sentence in (
        ("elsewhere", "has no image of the same uri"),
        ("nothing", "has neither"),
    ):
        job = job_of(crossed.job.manifest, tmp_path / "new", compare=str(tmp_path / name))
        with pytest.raises(UsageError, match=rf"^`compare` .+ {sentence}"):
            train_folds(job)
    assert not list((tmp_path / "new").rglob("train.json"))  # before any training
    with pytest.raises(UsageError, match=r"^`compare` there "):
        fold_figures.compared(rows, gone, "there")


def test_folds_of_some_splits_divide_those_and_their_copies_alone(
    labelled: str, tmp_path: Path
) -> None:
    table = manifest.labelled(manifest.read_manifest(labelled), None)
    groups = pd.Series(table["duplicate_group"].to_pylist(), dtype=object)
    given = np.where(np.arange(len(groups)) % 2, "val", "train")
    in_group = groups.notna().to_numpy()  # a copy in train of what is in test
    given[in_group] = np.where(groups.groupby(groups).cumcount().dropna() % 2, "test", "train")
    job = job_of(labelled, tmp_path / "some", fold_splits="val, test", folds=2)
    parts = folds_of(job, with_splits(table, given.tolist()))
    frames: list[Any] = [part.table.to_pandas() for part in parts]
    seen_as = [frame["split"].to_numpy() for frame in frames]
    divided = (given != "train") | in_group
    assert all((splits[~divided] == "train").all() for splits in seen_as)
    assert ((seen_as[0] == "test") ^ (seen_as[1] == "test") == divided).all()
    for frame in frames:
        measured = {*frame["content_hash"][frame["split"] == "test"]}
        assert not measured & {*frame["content_hash"][frame["split"] != "test"]}


def test_labelled_images_of_no_split_are_answered_too(labelled: str, tmp_path: Path) -> None:
    table = manifest.labelled(manifest.read_manifest(labelled), None)
    nowhere = with_splits(table, [None] * table.num_rows)
    parts = folds_of(job_of(labelled, tmp_path), nowhere)
    tested = [part.table["split"].to_pylist().count("test") for part in parts]
    assert sum(tested) == table.num_rows


def test_folds_of_a_data_set_that_was_moved_teach_nothing_and_say_so(
    crossed: Finished, tmp_path: Path
) -> None:
    output = tmp_path / "copy"
    shutil.copytree(crossed.output, output)
    shutil.rmtree(output / "final")
    table = tables.read_table(f"{crossed.job.manifest}/manifest")
    faces = tmp_path / "elsewhere"
    faces.mkdir()
    moved = [str(faces / Path(uri).name) for uri in table["uri"].to_pylist()]
    for before, after in zip(table["uri"].to_pylist(), moved, strict=True):
        shutil.copy(before, after)
    there = str(tmp_path / "moved.parquet")
    tables.write_table(there, replaced(table, "uri", moved))
    job = job_of(there, output, final=True)
    with pytest.raises(
        UsageError, match=r"have predictions for other uris than the manifest's, such as /"
    ):
        train_folds(job)


def test_the_epochs_that_folds_agree_on_are_those_of_the_least_mean_loss() -> None:
    losses = ([3.0, 1.0, 2.0, 0.5], [3.0, 2.5, 1.0])
    histories = [[{"val_loss": loss} for loss in fold] for fold in losses]
    assert fold_figures.agreed_epochs(histories, RECIPE) == 3
    growing = dataclasses.replace(preset("facemill-muon"), epochs=3, sides=((0.9, 64),))
    assert fold_figures.agreed_epochs(histories, growing) == 3  # only the last is of full size


def test_what_has_seen_the_images_cannot_teach_the_folds_nor_start_them(
    crossed: Finished, tmp_path: Path
) -> None:
    saw = crossed.bundle("final")
    job = dataclasses.replace(job_of(crossed.job.manifest, tmp_path / "a"), teachers=(saw,))
    sentence = r"was trained on \d+% of these images, so its predictions are not out of fold: leave"
    with pytest.raises(UsageError, match=rf"^`teachers` demo {sentence}"):
        train_folds(job)
    begun = job_of(crossed.job.manifest, tmp_path / "b", start_from=str(crossed.output / "final"))
    with pytest.raises(UsageError, match=rf"^`start_from` RUN-\w+ {sentence}"):
        train_folds(begun)
    assert not list(tmp_path.rglob("train.json"))
    older = open_bundle(str(SHIPPED / "seed-final"))
    assert older.record.get("seen") is None  # it says nothing, so it may


def test_an_evaluation_is_compared_with_where_it_is_of_unseen_images(
    crossed: Finished, tmp_path: Path
) -> None:
    tables.write_table(str(tmp_path / "evaluation.parquet"), crossed.rows)
    for seen in (0.0, 0.5):
        tables.write_json(str(tmp_path / "metrics.json"), {"seen": seen})
        job = job_of(crossed.job.manifest, tmp_path / "new", compare=str(tmp_path))
        if not seen:
            fold_figures.require_comparable(job, crossed.rows)
            assert fold_figures.answers_in(str(tmp_path)).endswith("evaluation.parquet")
            continue
        with pytest.raises(
            UsageError, match=r"images of which 50% were in its training data: give an"
        ):
            fold_figures.require_comparable(job, crossed.rows)


def test_a_run_that_begins_with_another_s_folds_gives_each_fold_its_own(
    crossed: Finished, tmp_path: Path
) -> None:
    source, before = crossed.job.manifest, str(crossed.output)
    job = job_of(source, tmp_path / "again", start_from=before, final=True)
    table = manifest.labelled(manifest.read_manifest(source), None)
    begun = [part.job.start for part in folds_of(job, table)]  # which have seen no image of theirs
    assert [start and start.weights for start in begun] == [
        f"{before}/fold-{index}/weights.npz" for index in range(FOLDS)
    ]
    assert job.start and job.start.of("final").weights == f"{before}/final/weights.npz"
    assert len({start and start.sha256 for start in begun}) == FOLDS
    with pytest.raises(UsageError) as error:
        job_of(source, tmp_path / "other", start_from=before, folds=FOLDS - 1)
    assert str(error.value).startswith(
        f"`start_from` {before} does not have {FOLDS - 1} finished folds"
    )
    swapped = folds_of(job, table)[1].job.start
    stolen = dataclasses.replace(job, start=swapped)
    with pytest.raises(UsageError, match=r"^`start_from` RUN-\w+ was trained on \d+% of these"):
        folds_of(stolen, table)


@pytest.mark.parametrize(
    "options",
    [
        {"folds": 1}, {"folds": None, "final": True}, {"folds": None, "compare": "x"},
        {"folds": None, "fold_splits": "val"}, {"fold_splits": "val,tset"},
    ],
)  # fmt: skip
def test_options_that_do_not_fit_together_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"^`{list(options)[-1]}` "):
        job_of("m", Path("o"), **options)


def test_a_fold_that_has_too_little_is_named(labelled: str, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, global_batch_size=80)
    with pytest.raises(UsageError, match=r"^fold 0 of 3: the train split has \d+ usable images, f"):
        train_folds(job_of(labelled, tmp_path, recipe))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_folds_killed_at_random_five_times_end_with_the_rows_of_an_undisturbed_run(
    labelled: str, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=12)
    whole = Finished(job := job_of(labelled, tmp_path / "whole", recipe), train_folds(job))
    output = tmp_path / "killed"
    command = [
        sys.executable, "-m", "jobs.train", "--manifest", labelled, "--output", str(output),
        "--preset", "demo", "--epochs", "12", "--global-batch-size", "8", "--folds", str(FOLDS),
        "--cpus-per-worker", "1",
    ]  # fmt: skip
    rng = random.Random(0)
    killed_at: list[list[int]] = []
    quiet = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
    for wanted in range(1, 6):
        # Whoever runs tests in the background ignores Ctrl-C, and so would their children.
        driver = psutil.Popen(command, preexec_fn=_hear_ctrl_c, **quiet)
        while driver.poll() is None and sum(_epochs(output)) < 6 * wanted:
            time.sleep(0.05)
        time.sleep(rng.random())
        assert driver.poll() is None, "the run ended before it could be killed"
        killed_at.append(_epochs(output))
        if wanted == 3:  # once by Ctrl-C
            driver.send_signal(signal.SIGINT)
            assert driver.wait(60) in (130, -signal.SIGINT)  # a shell shows 130 of both
        else:
            kill_family(driver)
            driver.wait()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = tables.read_table(str(output / "out_of_fold.parquet"))
    # Float32 sums are split among as many cores as are idle, and some CPUs round them otherwise.
    pd.testing.assert_frame_equal(
        rows.to_pandas(), whole.rows.to_pandas(), rtol=1e-5, obj=f"rows killed at {killed_at}"
    )


def _hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _epochs(output: Path) -> list[int]:
    """How many epochs of each fold are safe in a checkpoint."""
    epochs: list[int] = []
    for index in range(FOLDS):
        done = [0]
        for path in output.glob(f"fold-{index}/checkpoints/checkpoint_*/state.json"):
            with contextlib.suppress(OSError, ValueError):
                done.append(json.loads(path.read_text())["epoch"])
        epochs.append(max(done))
    return epochs
