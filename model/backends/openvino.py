"""OpenVINO: a bundle's network in OpenVINO's own format, computed on the CPU without TensorFlow."""

from typing import Any

import numpy as np

from model.backends.forward import Forward
from model.bundle import FLOAT_FILES, INT8_FILES, Bundle
from model.errors import BundleError
from model.runtime import import_openvino
from model.tta import Views, averaged

_HINTS = {"int8": "f32", "float32": "f32", "bfloat16": "bf16"}


def load(
    bundle: Bundle, precision: str, batch_size: int, threads: int | None, views: Views
) -> Forward:
    """Read and compile the network: see `Predictor`.

    Raises:
        BundleError: OpenVINO does not read it.
    """
    openvino = import_openvino()
    core = openvino.Core()
    path = bundle.folder / (INT8_FILES if precision == "int8" else FLOAT_FILES)[0]
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],  # int8 is in the network itself
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # every worker of a machine would take its first cores
    }
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    try:
        network = core.read_model(path)
        network.reshape([batch_size, *bundle.input.shape])
        compiled = core.compile_model(network, "CPU", settings)
    except RuntimeError as error:
        first = (str(error).strip().splitlines() or ["?"])[-1][:200]
        raise BundleError(f"{path} cannot be loaded by OpenVINO: {first}") from None
    request: Any = compiled.create_infer_request()
    names = [output.get_any_name() for output in compiled.outputs]

    def network_of(pixels: Any) -> dict[str, Any]:
        request.infer([np.ascontiguousarray(pixels)], share_inputs=True)
        # Copies: the next call writes where these are.
        return {name: request.get_output_tensor(i).data.copy() for i, name in enumerate(names)}

    return averaged(network_of, bundle, views)
