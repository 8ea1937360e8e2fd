"""A bundle's network in another format, checked against the bundle before it is called done.

Each export is a folder: the network, bundle.json (heads, calibration, preprocessing: what turns
its outputs into ages and probabilities) and, last, export.json with the parity that was measured.
"""

import dataclasses
import importlib.util
import json
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from model.bundle import RECORD_FILE, Bundle, load_network
from model.errors import ExportError, UsageError
from model.runtime import captured_stderr, import_tensorflow
from pipelines import storage
from pipelines.storage import tables

Format = Literal["savedmodel", "onnx"]
ONNX_FILE, INPUT, MARKER = "network.onnx", "pixels", "export.json"
# Outputs are activations: probabilities up to 1, years up to 116. float32 kernels of another
# library add up in another order; 1e-3 of a year or of a probability is below what is printed.
TOLERANCE = 1e-3
_PARITY_IMAGES = 64
_PACKAGES: dict[str, tuple[str, ...]] = {
    "savedmodel": (), "onnx": ("onnx", "tf2onnx", "onnxruntime"),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Exported:
    """What an export left behind.

    Attributes:
        uri: its folder.
        max_difference: head name -> largest |difference| to the bundle over random images.
        opset: ONNX operator set, or None.
    """

    uri: str
    max_difference: Mapping[str, float]
    opset: int | None


def export(bundle: Bundle, kind: Format, output: str, opset: int = 17) -> Exported:
    """Write a bundle's network in another format.

    Args:
        bundle: what to export.
        kind: savedmodel (a TensorFlow SavedModel with the signature `serve`) or onnx.
        output: folder or prefix.
        opset: of ONNX; 17 is understood since onnxruntime 1.12.

    Raises:
        UsageError: the output holds an export already, or the converter is not installed.
        ExportError: the exported network does not compute what the bundle's computes.
    """
    if storage.exists(storage.join(output, MARKER)):
        raise UsageError(f"`output` {output} holds an export already: choose another")
    _require(kind)
    import_tensorflow()
    network = load_network(bundle)
    with tempfile.TemporaryDirectory(prefix="facemill-export-") as name:
        folder = Path(name)
        if kind == "onnx":
            _write_onnx(network, bundle, folder / ONNX_FILE, opset)
        else:
            _write_savedmodel(network, bundle, folder)
        differences = parity(network, bundle, kind, folder)
        worst = max(differences.values())
        if not worst <= TOLERANCE:
            raise ExportError(
                f"the {kind} export differs from the bundle by {worst:.2g}, more than "
                f"{TOLERANCE:g}: nothing was written"
            )
        (folder / RECORD_FILE).write_bytes((bundle.folder / RECORD_FILE).read_bytes())
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            uri = storage.join(output, path.relative_to(folder).as_posix())
            storage.write_bytes(uri, path.read_bytes())
    marker = {"format": kind, **_metadata(bundle), "max_difference": differences}
    tables.write_json(storage.join(output, MARKER), marker)
    return Exported(output, differences, opset if kind == "onnx" else None)


def _require(kind: Format) -> None:
    """Check that what the format needs is installed.

    Raises:
        UsageError: it is not.
    """
    missing = [name for name in _PACKAGES[kind] if importlib.util.find_spec(name) is None]
    if missing:
        install = " ".join(_PACKAGES[kind])
        raise UsageError(f"`format` {kind} needs the package {missing[0]}: pip install {install}")


def _metadata(bundle: Bundle) -> dict[str, str]:
    """What the exported file says of itself, as text."""
    spec = bundle.input
    height, width, channels = spec.shape
    return {
        "bundle_id": bundle.id,
        "preset": bundle.name,
        "input": f"{INPUT}: uint8 (batch, {height}, {width}, {channels}), 0-255, not scaled",
        "preprocessing": json.dumps({**spec.to_json(), "hash": spec.hash}),
        "heads": json.dumps([dataclasses.asdict(head) for head in bundle.heads]),
        "calibration": json.dumps(bundle.record.get("calibration")),
        "outputs": "activated heads, before calibration: bundle.json says how to read them",
        "keras": version("keras"),
        "tensorflow": version("tensorflow"),
    }


def _forward(network: Any, bundle: Bundle) -> tuple[Any, list[Any]]:
    """The network as a function of a uint8 batch of any size, and its signature."""
    import tensorflow as tf

    signature = [tf.TensorSpec((None, *bundle.input.shape), tf.uint8, name=INPUT)]
    forward = tf.function(
        lambda pixels: network(pixels, training=False), input_signature=signature, autograph=False
    )
    return forward, signature


def _write_onnx(network: Any, bundle: Bundle, path: Path, opset: int) -> None:
    import onnx
    import tf2onnx

    forward, signature = _forward(network, bundle)
    with captured_stderr():  # tf2onnx walks TensorFlow's grappler, which prints its devices
        graph, _ = tf2onnx.convert.from_function(forward, input_signature=signature, opset=opset)
    graph.producer_name = "facemill"
    onnx.helper.set_model_props(graph, {**_metadata(bundle), "opset": str(opset)})
    onnx.checker.check_model(graph)
    onnx.save(graph, str(path))


def _write_savedmodel(network: Any, bundle: Bundle, folder: Path) -> None:
    import keras

    archive: Any = keras.export.ExportArchive()
    archive.track(network)
    _, signature = _forward(network, bundle)
    archive.add_endpoint(
        "serve", lambda pixels: network(pixels, training=False), input_signature=signature
    )
    with captured_stderr():
        archive.write_out(str(folder), verbose=False)


def trial_pictures(bundle: Bundle) -> npt.NDArray[np.uint8]:
    """Images on which two backends are compared; uint8 (64, height, width, channels).

    Noise alone would leave most units of a network that was trained on faces at rest: half of them
    are smooth.
    """
    rng = np.random.default_rng(0)
    shape = (_PARITY_IMAGES, *bundle.input.shape)
    pixels = rng.integers(0, 256, shape, dtype=np.uint8)
    smooth = np.cumsum(rng.normal(0, 4, shape), axis=1) + rng.uniform(0, 255, (shape[0], 1, 1, 1))
    pixels[::2] = smooth.clip(0, 255).astype(np.uint8)[::2]
    return pixels


def parity(network: Any, bundle: Bundle, kind: Format, folder: Path) -> dict[str, float]:
    """Largest |difference| of each head between the bundle's network and the written file."""
    pixels = trial_pictures(bundle)
    wanted = {name: np.asarray(value) for name, value in network(pixels, training=False).items()}
    exported = run_exported(kind, folder, pixels)
    return {name: float(np.abs(wanted[name] - exported[name]).max()) for name in sorted(wanted)}


def run_exported(
    kind: Format, folder: Path, pixels: npt.NDArray[np.uint8]
) -> dict[str, npt.NDArray[np.float32]]:
    """Head name -> outputs of an exported network on `pixels` (n, height, width, channels)."""
    if kind == "onnx":
        import onnxruntime

        providers = ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(str(folder / ONNX_FILE), providers=providers)
        names = [output.name for output in session.get_outputs()]
        values: Any = session.run(names, {INPUT: pixels})
        return dict(zip(names, values, strict=True))
    import tensorflow as tf

    loaded: Any = tf.saved_model.load(str(folder))
    return {name: np.asarray(value) for name, value in loaded.serve(pixels).items()}
