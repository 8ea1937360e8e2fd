"""Exports compute what the bundle computes, and say what they are."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from jobs.export import main
from model import heads
from model.bundle import Bundle
from model.errors import ExportError, UsageError
from model.predictor import Predictor
from pipelines.bundles import exporting
from pipelines.bundles.exporting import Format, export, run_exported


@pytest.mark.parametrize("kind", ["onnx", "savedmodel"])
def test_an_export_scores_as_the_bundle_does(
    kind: Format, untrained: Bundle, tmp_path: Path
) -> None:
    made = export(untrained, kind, str(tmp_path))
    assert set(made.max_difference) == {"gender", "age"}
    assert max(made.max_difference.values()) < 1e-4
    shape = (5, *untrained.input.shape)  # not the batch that the parity check took
    pixels = np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)
    found = heads.read_out(untrained.heads, run_exported(kind, tmp_path, pixels))
    for name, values in Predictor(untrained).predict(pixels).items():
        np.testing.assert_allclose(found[name], values, atol=1e-4)
    told = json.loads((tmp_path / "export.json").read_text())
    assert (told["bundle_id"], told["max_difference"]) == (untrained.id, made.max_difference)
    assert json.loads((tmp_path / "bundle.json").read_text())["bundle_id"] == untrained.id
    with pytest.raises(UsageError, match=r"holds an export already: choose another$"):
        export(untrained, kind, str(tmp_path))


def test_an_onnx_file_names_its_bundle_input_and_opset(
    untrained: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--bundle", str(untrained.folder), "--output", str(tmp_path), "--opset", "15"])
    assert "max |difference|, age" in capsys.readouterr().out
    graph: Any = onnx.load(str(tmp_path / "network.onnx"))
    told = {entry.key: entry.value for entry in graph.metadata_props}
    assert told["bundle_id"] == untrained.id
    assert told["input"] == "pixels: uint8 (batch, 48, 48, 1), 0-255, not scaled"
    assert json.loads(told["preprocessing"])["hash"] == untrained.input.hash
    assert told["opset"] == "15"
    assert {entry.domain: entry.version for entry in graph.opset_import}[""] == 15
    assert [entry.name for entry in graph.graph.input] == ["pixels"]


def test_an_export_that_computes_something_else_is_refused(
    untrained: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "parity", lambda *_: {"age": float("nan"), "gender": 0.0})
    with pytest.raises(ExportError, match=r"differs from the bundle by nan, more than 0\.001: not"):
        export(untrained, "savedmodel", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_an_opset_that_the_converter_lacks_is_an_error(
    untrained: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--bundle", str(untrained.folder), "--output", str(tmp_path), "--opset", "30"])
    assert stop.value.code == 2
    assert "--opset 30 must be between 13 and 18 (tf2onnx's newest)" in capsys.readouterr().err


def test_a_format_whose_package_is_missing_says_what_to_install(
    untrained: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "tf2onnx" else found(name)
    )
    with pytest.raises(UsageError, match=r"onnx needs the package tf2onnx: pip install .*tf2onnx"):
        export(untrained, "onnx", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
