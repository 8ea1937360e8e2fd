"""The bundle: what is loaded is what was saved, and nothing else is ever loaded or run."""

import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from model import heads
from model.bundle import Bundle, load_network, read_bundle, write_bundle
from model.checksums import sealed
from model.errors import BundleError
from model.networks import build_network
from model.preprocessing import InputSpec
from model.recipes import PlainStack

ROOT = Path(__file__).parents[2]
SPEC = InputSpec(16, 16, "grey")
HEADS = (heads.GENDER, heads.AGE)
PIXELS = np.random.default_rng(0).integers(0, 256, (5, *SPEC.shape), dtype=np.uint8)


def network(seed: int = 0) -> keras.Model:
    built = build_network(PlainStack((4, 4), branch_units=8), SPEC.shape, HEADS)
    rng = np.random.default_rng(seed)
    built.set_weights([rng.normal(0, 0.3, w.shape).astype(w.dtype) for w in built.get_weights()])
    return built


def saved(folder: Path, built: keras.Model | None = None, **changes: Any) -> Bundle:
    given: dict[str, Any] = {
        "name": "tiny", "input_spec": SPEC, "heads": HEADS, "details": {"metrics": {"x": 1}},
    }  # fmt: skip
    return write_bundle(folder, built or network(), **given | changes)


def outputs(built: Any) -> dict[str, Any]:
    return {name: np.asarray(value) for name, value in built(PIXELS).items()}


def refused(folder: Path, message: str, load: Callable[[Path], Any] = read_bundle) -> None:
    with pytest.raises(BundleError, match=f"^{re.escape(message)}$"):
        load(folder)


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the record and seal it anew."""
    record = json.loads((folder / "bundle.json").read_text())
    change(record)
    (folder / "bundle.json").write_bytes(sealed(record))


def test_round_trip_gives_identical_outputs(tmp_path: Path) -> None:
    built = network()
    saved(tmp_path, built)
    loaded = outputs(load_network(read_bundle(tmp_path)))
    for name, values in outputs(built).items():
        assert (loaded[name] == values).all()


def test_record_says_what_was_saved(tmp_path: Path) -> None:
    bundle = saved(tmp_path)
    assert bundle == read_bundle(str(tmp_path))
    assert (bundle.name, bundle.input, bundle.heads) == ("tiny", SPEC, HEADS)
    assert bundle.record["metrics"] == {"x": 1}
    assert bundle.record["labels"]["genders"] == ["male", "female"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle.json", "network.keras"]


def test_float16_storage_halves_the_file_and_keeps_outputs(tmp_path: Path) -> None:
    built = network()
    full = saved(tmp_path / "full", built)
    half = saved(tmp_path / "half", built, storage_dtype="float16")
    loaded = load_network(half)
    assert {str(weight.dtype) for weight in loaded.weights} == {"float32"}
    for name, values in outputs(built).items():
        assert outputs(loaded)[name] == pytest.approx(values, rel=1e-3, abs=1e-3)
    assert half.id != full.id


def test_lower_precision_is_close_and_heads_stay_float32(tmp_path: Path) -> None:
    bundle = saved(tmp_path)
    exact, low = outputs(load_network(bundle)), outputs(load_network(bundle, "bfloat16"))
    for name, values in exact.items():
        assert low[name].dtype == np.float32
        assert low[name] == pytest.approx(values, abs=0.05)


def test_equal_weights_give_an_equal_id(tmp_path: Path) -> None:
    first = saved(tmp_path / "one", network(), details={"metrics": {"x": 1}})
    again = saved(tmp_path / "two", network(), details={"metrics": {"x": 2}, "note": "metrics"})
    assert first.id == again.id
    assert re.fullmatch("[0-9a-f]{16}", first.id)


def test_all_that_can_change_a_prediction_changes_the_id(tmp_path: Path) -> None:
    renamed = dataclasses.replace(heads.AGE, weight=2.0)
    ids = [
        saved(tmp_path / "0").id,
        saved(tmp_path / "1", network(seed=1)).id,
        saved(tmp_path / "2", heads=(heads.GENDER, renamed)).id,
        saved(tmp_path / "3", input_spec=dataclasses.replace(SPEC, resample="bilinear")).id,
        saved(tmp_path / "4", details={"calibration": {"age": 1.1}}).id,
    ]
    assert len(set(ids)) == 5


def test_flipped_byte_in_the_network_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    path = tmp_path / "network.keras"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    refused(tmp_path, f"{path} is not the file that was written (SHA-256): copy it again")


def test_edited_record_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    edit(tmp_path, lambda record: record["labels"]["genders"].reverse())
    message = f"{tmp_path}/bundle.json was changed after it was written: copy it again"
    refused(tmp_path, message)


def test_folder_without_record_is_no_bundle(tmp_path: Path) -> None:
    message = (
        f"{tmp_path} is no bundle: it has no bundle.json. Give the folder that jobs.train wrote"
    )
    refused(tmp_path, message)


def test_half_a_record_is_damaged(tmp_path: Path) -> None:
    saved(tmp_path)
    path = tmp_path / "bundle.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(BundleError, match=r"^\S+/bundle\.json is damaged \(.+\): copy it again$"):
        read_bundle(tmp_path)


def test_missing_network_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "network.keras").unlink()
    refused(tmp_path, f"{tmp_path} lacks its file 'network.keras': copy the bundle again")


def test_file_outside_the_folder_is_never_read(tmp_path: Path) -> None:
    saved(tmp_path)
    edit(tmp_path, lambda record: record["files"].update({"../secret": "00"}))
    refused(tmp_path, f"{tmp_path} lacks its file '../secret': copy the bundle again")


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["input"].update(version=99),
        lambda record: record["input"].update(sharpen=True),
        lambda record: record.update(bundle_version=3),
    ],
)
def test_what_a_newer_facemill_wrote_is_refused(tmp_path: Path, change: Any) -> None:
    saved(tmp_path)
    edit(tmp_path, change)
    refused(tmp_path, f"{tmp_path} was written by a newer facemill: update this checkout")


def forge(folder: Path) -> Bundle:
    """Make the hashes of an attacker's bundle agree, as an attacker would."""
    from model import bundle

    path = folder / "network.keras"
    record = json.loads((folder / "bundle.json").read_text())
    record["files"]["network.keras"] = hashlib.sha256(path.read_bytes()).hexdigest()
    record["bundle_id"] = bundle._identity(record)  # pyright: ignore[reportPrivateUsage]
    (folder / "bundle.json").write_bytes(sealed(record))
    return read_bundle(folder)


@pytest.mark.parametrize("nested", [False, True])
def test_lambda_layer_is_refused_and_never_run(tmp_path: Path, nested: bool) -> None:
    trace = tmp_path / "the code ran"

    def code(x: Any, where: str = str(trace)) -> Any:
        open(where, "w").close()
        return x

    pixels = keras.Input(SPEC.shape, dtype="uint8")
    x = keras.layers.Lambda(code)(pixels)  # runs it: so would loading
    x = keras.layers.Dense(1, name="age")(keras.layers.Flatten()(x))
    built: Any = keras.Model(pixels, {"age": x})
    if nested:
        again = keras.Input(SPEC.shape, dtype="uint8")
        built = keras.Model(again, built(again))
    bundle = saved(tmp_path / "bundle", built, heads=(heads.AGE,))
    trace.unlink()
    path = tmp_path / "bundle" / "network.keras"
    message = (
        rf"^{re.escape(str(path))} holds a (Lambda|function) of \S+, which may run code: refused$"
    )
    with pytest.raises(BundleError, match=message):
        load_network(bundle)
    assert not trace.exists()


def test_class_from_outside_keras_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    path = tmp_path / "network.keras"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][1] |= {"module": "os", "class_name": "system"}
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    bundle = forge(tmp_path)
    refused(
        tmp_path,
        f"{path} holds a system of os, which may run code: refused",
        lambda _: load_network(bundle),
    )


def test_pickle_named_network_is_refused(tmp_path: Path) -> None:
    import pickle

    saved(tmp_path)
    path = tmp_path / "network.keras"
    path.write_bytes(pickle.dumps({"weights": [1, 2]}))
    bundle = forge(tmp_path)
    refused(
        tmp_path,
        f"{path} is no Keras archive (File is not a zip file): copy the bundle again",
        lambda _: load_network(bundle),
    )


def test_reading_the_record_imports_no_tensorflow(tmp_path: Path) -> None:
    bundle = saved(tmp_path)
    code = (
        "import sys; from model.bundle import read_bundle; print(read_bundle(sys.argv[1]).id,"
        "sorted({'tensorflow', 'keras', 'h5py'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"{bundle.id} []\n"


def test_a_record_that_is_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "bundle.json")
    with pytest.raises(BundleError) as told:
        read_bundle(tmp_path)
    assert str(tmp_path / "bundle.json") in str(told.value)
