"""Makes OpenVINO's networks of a bundle: the same numbers in its format, and one in int8.

int8 follows Jacob et al. 2018: weights and activations of every convolution and dense layer are
bytes, their scales chosen on images (NNCF's post-training quantization, with bias correction).
The layer that sees the pixels stays in float32: it is a small part of the multiplications, half of
the error, and the one whose sums overflow on CPUs without VNNI (docs/decisions/011-two-engines.md).
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from model.bundle import FLOAT_FILES, INT8_FILES
from model.runtime import captured, import_openvino

if TYPE_CHECKING:
    import keras

PICTURES = 400  # more change nothing (docs/benchmarks/engines.md)
_MULTIPLIES = ("Convolution", "MatMul")
_HALVED = 1024  # constants of so many numbers are kept in float16 where that loses nothing


def write_float(network: "keras.Model", folder: Path) -> None:
    """Write a Keras network as `openvino.xml` and `openvino.bin` below `folder`."""
    openvino = import_openvino()

    path = folder / FLOAT_FILES[0]
    with captured(2):
        network.export(str(path), format="openvino", verbose=False)
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # the file is written anew while it is read
    converted = core.read_model(path)
    _keep_order(converted)
    _write(converted, path)


def write_int8(pixels: npt.NDArray[np.uint8], folder: Path) -> None:
    """Quantize `openvino.xml` of `folder` into `openvino-int8.xml` and `.bin` beside it.

    Args:
        pixels: uint8 (n, height, width, channels), images such as the network was trained on.
        folder: where `write_float` wrote.
    """
    openvino = import_openvino()
    import nncf  # after it: see there

    nncf.set_log_level(logging.ERROR)
    network = openvino.Core().read_model(folder / FLOAT_FILES[0])
    first = next(op for op in network.get_ordered_ops() if op.get_type_name() in _MULTIPLIES)
    with captured(1), captured(2):
        quantized: Any = nncf.quantize(
            network,
            nncf.Dataset([pixels[i : i + 1] for i in range(len(pixels))]),
            preset=nncf.QuantizationPreset.PERFORMANCE,
            subset_size=len(pixels),
            fast_bias_correction=False,
            ignored_scope=nncf.IgnoredScope(names=[first.get_friendly_name()]),
        )
    _write(quantized, folder / INT8_FILES[0])


def _write(network: Any, path: Path) -> None:
    """Write a network so that equal networks are equal files, whatever was built before them."""
    openvino = import_openvino()

    _halve(network)
    outputs = {output.get_node().input_value(0) for output in network.outputs}
    for number, op in enumerate(network.get_ordered_ops()):
        if op.get_type_name() in ("Parameter", "Result"):
            continue
        op.set_friendly_name(f"{op.get_type_name()}_{number}")
        for output in op.outputs():
            if output not in outputs:
                output.get_tensor().set_names(set())
    for key in list(network.rt_info):
        del network.rt_info[key]
    openvino.save_model(network, path, compress_to_fp16=False)


def _keep_order(network: Any) -> None:
    """Put a clamp that changes nothing behind the conversion of bytes into floats.

    OpenVINO would else transpose the bytes before it converts them, and bring the floats back into
    the order that its convolutions want: 40 of 600 microseconds an image.
    """
    from openvino import opset13

    (pixels,) = network.get_parameters()
    for target in pixels.output(0).get_target_inputs():
        floats = target.get_node().output(0)
        readers = list(floats.get_target_inputs())
        clamped = opset13.clamp(floats, 0.0, 255.0)
        for reader in readers:
            reader.replace_source_output(clamped.output(0))


def _halve(network: Any) -> None:
    """Keep large constants in float16 where every number of them is one."""
    from openvino import opset13

    for op in network.get_ordered_ops():
        if op.get_type_name() != "Constant" or str(op.get_element_type()) != "<Type: 'float32'>":
            continue
        exact = op.data
        with np.errstate(over="ignore"):
            half = exact.astype(np.float16)
        if exact.size < _HALVED or not np.array_equal(half.astype(np.float32), exact):
            continue
        widened = opset13.convert(opset13.constant(half), "f32")
        for target in op.output(0).get_target_inputs():
            target.replace_source_output(widened.output(0))
