"""Training on real Ray Train workers: small network, drawn faces, seconds."""

import contextlib
import dataclasses
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jobs.train import main
from model.bundle import Bundle
from model.errors import TrainingError, UsageError
from model.preprocessing import PREPROCESSING_VERSION
from model.presets import PRESETS, preset
from model.recipes import Recipe
from pipelines.bundles.opening import open_bundle
from pipelines.cluster.private import CHECKPOINT_LIST
from pipelines.configuration import build, changed
from pipelines.manifests import manifest
from pipelines.manifests.ingest import ingest, write_ingested
from pipelines.manifests.options import IngestOptions
from pipelines.storage import tables
from pipelines.training import layout
from pipelines.training.checkpoints import load_arrays
from pipelines.training.feeding import epoch_order
from pipelines.training.job import TrainingJob, check, prepare
from pipelines.training.options import TrainOptions
from pipelines.training.plan import as_begun, claim, plan, plan_of
from pipelines.training.run import train
from tests.pipelines.training.finished import Finished, small_recipe
from tests.runs import training_job


@pytest.fixture(scope="module")
def by_one(faces_manifest: str, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Two epochs by one worker, of the run id 5f0c, its phases told as JSON."""
    options = training_job(small_recipe(), faces_manifest, str(tmp_path_factory.mktemp("by-one")))
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()) as said:
        patch.setenv("FACEMILL_LOG", "json")
        patch.setenv("FACEMILL_RUN_ID", "5f0c")
        return Finished(options, train(options), said.getvalue())


def test_a_finished_run_does_nothing_and_other_arguments_are_refused(
    by_one: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, first = by_one.options, by_one.result
    lines = [json.loads(line) for line in by_one.stderr.splitlines() if line[:1] == "{"]
    assert [line["phase"] for line in lines] == [
        "decode", "train", "measure_train", "measure_val", "measure_test", "finish",
    ]  # fmt: skip
    assert {line["run_id"] for line in lines} == {"5f0c"}
    after = by_one.stderr.partition('"phase": "train"')[2]
    assert "decode test: " in after  # what was learned from and validated on is decoded already
    assert "decode train: " not in after and "decode val: " not in after
    assert by_one.bundle.record["training"]["run_id"] == "5f0c"
    monkeypatch.setenv("FACEMILL_RUN_ID", "another")  # of the process; the run keeps its own
    again = train(options)
    assert os.environ["FACEMILL_RUN_ID"] == "5f0c"
    assert again.already_done
    assert again.bundle_id == first.bundle_id
    with pytest.raises(UsageError) as error:
        train(dataclasses.replace(options, recipe=small_recipe(3)))
    assert str(error.value) == (
        f"`output` {options.output} holds another training run (recipe.epochs was 2, is 3): "
        "choose another `output`, or repeat the arguments of that run to resume it"
    )


def test_a_plan_tells_new_begun_and_finished_and_writes_nothing(
    by_one: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = by_one.options
    assert plan(done).state == f"finished: bundle {by_one.result.bundle_id}"
    job = dataclasses.replace(done, output=str(tmp_path / "run"))
    main(["--manifest", job.manifest, "--output", job.output, "--preset", "demo", "--dry-run"])
    told = capsys.readouterr().out
    assert "dry run: nothing was started or written" in told
    assert re.search(r"state +new\n", told)
    assert list(tmp_path.iterdir()) == []
    claim(plan(job))
    assert plan(job).begun and plan(job).done is None


def test_a_driver_killed_while_ray_wrote_its_list_resumes_from_the_last_whole_checkpoint(
    by_one: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, output = by_one.result, tmp_path / "run"
    shutil.copytree(by_one.options.output, output)
    options = dataclasses.replace(by_one.options, output=str(output))
    snapshot = output / "checkpoints" / CHECKPOINT_LIST
    snapshot.write_text(snapshot.read_text()[:100])
    half = output / "checkpoints" / "checkpoint_9999-half"  # newer, but never finished
    shutil.copytree(next(output.glob("checkpoints/checkpoint_*/")), half)
    (half / "state.npz").write_bytes((half / "state.npz").read_bytes()[:1000])
    shutil.rmtree(output / "bundle")
    again = train(options)
    assert f"{snapshot} is incomplete" in capsys.readouterr().err
    assert again.bundle_id == whole.bundle_id
    assert again.history == whole.history  # to the second: no epoch was trained again
    assert not half.exists()


def test_nan_loss_ends_with_a_sentence_and_leaves_only_good_checkpoints(
    faces_manifest: str, tmp_path: Path
) -> None:
    # Grows step by step until it overflows, so that there are good checkpoints and then bad steps.
    optimizer = dataclasses.replace(preset("demo").optimizer, name="sgd", learning_rate=3.0)
    recipe = small_recipe(4, optimizer=optimizer)
    options = training_job(recipe, faces_manifest, str(tmp_path), checkpoint_every_steps=1)
    sentence = (
        r"^(the (validation )?loss became (nan|inf)|weights became infinite) in epoch \d: lower"
    )
    with pytest.raises(TrainingError, match=sentence):
        train(options)
    kept = [path.parent for path in tmp_path.glob("checkpoints/checkpoint_*/state.json")]
    assert kept
    for folder in kept:
        assert all(np.isfinite(array).all() for array in load_arrays(folder, "state")), folder


def test_float16_that_can_take_no_step_at_any_loss_scale_ends_with_a_sentence(
    faces_manifest: str, tmp_path: Path
) -> None:
    gender, age = preset("demo").heads
    recipe = small_recipe(1, heads=(gender, dataclasses.replace(age, weight=1e30)))
    options = training_job(recipe, faces_manifest, str(tmp_path), precision="float16")
    with pytest.raises(TrainingError, match=r"^no step of epoch 1 could be taken in float16, at a"):
        train(options)
    assert not (tmp_path / "bundle").exists()


def test_a_silent_worker_exits_so_that_its_group_starts_again() -> None:
    code = "from pipelines.training.worker import start_watchdog; import time; " \
        "start_watchdog(0.3); time.sleep(60)"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 70
    assert "no step ended in 0.3 s: this worker exits" in done.stderr


def test_a_batch_that_cannot_be_filled_or_shared_out_is_an_error(
    faces_manifest: str, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(small_recipe(), global_batch_size=512)
    with pytest.raises(UsageError, match=r"^the train split has \d+ usable images, fewer than one"):
        train(training_job(recipe, faces_manifest, str(tmp_path)))
    for name, changes in (
        ("global_batch_size", {"workers": 3}),
        ("accumulate", {"workers": 2, "accumulate": 3}),
        ("min_workers", {"workers": 2, "min_workers": 4}),
    ):
        with pytest.raises(UsageError, match=rf"^`{name}` \d+ "):
            training_job(small_recipe(), "m", "o", **changes)


def test_a_network_that_goes_on_sees_pictures_of_full_size() -> None:
    begun = build(TrainOptions, preset="facemill-muon")
    assert begun.recipe().sides
    assert not changed(begun, start_from="first").recipe().sides


def _taught(recipe: Recipe, teacher: Bundle) -> TrainingJob:
    return dataclasses.replace(training_job(recipe, "m", "o"), teachers=(teacher,))


def test_a_teacher_that_cannot_teach_this_network_is_an_error() -> None:
    shipped = open_bundle(None)
    with pytest.raises(UsageError) as error:
        check(_taught(small_recipe(), shipped))
    assert str(error.value) == (
        f"`teachers` {shipped.name} ({shipped.id}) takes rgb images, demo takes grey ones: a "
        "teacher must take the same colours"
    )
    other = dataclasses.replace(preset("facemill"), heads=preset("demo").heads)
    with pytest.raises(
        UsageError, match=r"has heads that facemill does not have: age; give a bundle"
    ):
        check(_taught(other, shipped))


def test_a_setting_that_was_there_before_and_is_gone_is_a_difference(
    faces_manifest: str, tmp_path: Path
) -> None:
    options = training_job(preset("facemill"), "m", str(tmp_path))
    table = manifest.read_manifest(faces_manifest)
    claim(plan_of(options, table))
    kept = dataclasses.replace(options, recipe=dataclasses.replace(options.recipe, auxiliary=()))
    with pytest.raises(UsageError, match=r"recipe.auxiliary was \['race'\], is None"):
        plan_of(kept, table)


def test_the_card_of_a_run_holds_all_that_differs_from_its_preset_and_can_be_given_back() -> None:
    options = build(
        TrainOptions, preset="seed-final", manifest="m", output="o", global_batch_size=64,
        learning_rate=3e-4, clip_norm=1.0, heads="age-groups,gender,race-auxiliary",
    )  # fmt: skip
    repeated = prepare(options).repeatable()
    assert repeated == {
        "preset": "seed-final", "global_batch_size": 64, "learning_rate": 0.0003, "clip_norm": 1.0,
        "heads": "age-groups,gender,race-auxiliary",
    }  # fmt: skip
    assert build(TrainOptions, manifest="m", output="o", **repeated) == options
    for name in PRESETS:
        plain = build(TrainOptions, preset=name, manifest="m", output="o")
        assert prepare(plain).repeatable() == {"preset": name}


def test_heads_are_replaced_added_and_kept_as_asked() -> None:
    def heads(text: str, preset: str = "seed-final") -> tuple[list[str], list[str]]:
        recipe = build(TrainOptions, preset=preset, heads=text).recipe()
        return [head.name for head in recipe.heads], [head.name for head in recipe.kept_heads]

    assert heads("age-groups,gender")[0] == ["gender", "age_group"]
    assert heads("age,gender,race-auxiliary") == (["gender", "age", "race"], ["gender", "age"])
    assert heads("age,gender,race", "facemill")[1] == ["gender", "age", "race"]
    assert heads("age,race-auxiliary", "facemill-photo") == (["age", "race"], ["age"])
    for text in ("age-groups", "age"):
        with pytest.raises(UsageError, match=rf"^`heads` {text}: dhomne-gender has no head for"):
            heads(text, "dhomne-gender")
    with pytest.raises(UsageError, match=r"^`heads` age,name: 'name' is no head; choose among age"):
        heads("age,name")
    with pytest.raises(UsageError, match=r"^`clip_norm` -1 must be above 0$"):
        build(TrainOptions, clip_norm=-1.0)


def test_options_at_their_defaults_leave_the_identity_as_it_was() -> None:
    usual = training_job(small_recipe(), "m", "o").identity("f")
    assert not {"accumulate", "early_stopping", "balance"} & set(usual)
    other = training_job(
        small_recipe(), "m", "o", balance="age", early_stopping=3, keep_best=2, workers=4
    )
    assert set(other.identity("f")) - set(usual) == {"balance", "early_stopping"}


def test_order_is_a_function_of_seed_and_epoch() -> None:
    assert (epoch_order(1, 2, 50) == epoch_order(1, 2, 50)).all()
    assert (epoch_order(1, 2, 50) != epoch_order(1, 3, 50)).any()
    assert sorted(epoch_order(4, 0, 50)) == list(range(50))


@pytest.mark.timeout(300)
def test_ingest_train_evaluate_on_s3_equals_the_local_run(
    bucket: str, faces_dir: Path, by_one: Finished
) -> None:
    from pipelines import storage

    for face in faces_dir.iterdir():
        storage.write_bytes(f"{bucket}/faces/{face.name}", face.read_bytes())
    options = IngestOptions(f"{bucket}/faces")
    write_ingested(ingest(options), options, f"{bucket}/manifest")
    remote = train(training_job(small_recipe(), f"{bucket}/manifest", f"{bucket}/run"))
    assert tables.read_json(f"{bucket}/run/bundle/bundle.json")["bundle_id"] == remote.bundle_id
    for epoch, row in zip(by_one.result.history, remote.history, strict=True):
        for name, value in epoch.items():
            if name.startswith(("train_", "val_")):
                assert row[name] == pytest.approx(value, rel=1e-4), name
    assert open_bundle(remote.bundle_uri).id == remote.bundle_id


def test_a_training_begun_by_a_newer_version_of_the_pixels_is_refused(tmp_path: Path) -> None:
    begun = {"recipe": {"input": {"version": PREPROCESSING_VERSION + 1}}}
    (tmp_path / layout.RECORD).write_text(json.dumps(begun))
    options = build(TrainOptions, manifest=str(tmp_path), output=str(tmp_path), preset="demo")
    with pytest.raises(UsageError, match=" newer "):
        as_begun(prepare(options))
