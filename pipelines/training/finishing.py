"""From the best weights to what a run leaves behind: metrics, history, curves and the bundle."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pyarrow as pa

from model.bundle import Bundle, write_bundle
from model.layer_graph import layers_of
from model.runtime import import_tensorflow
from pipelines import storage
from pipelines.bundles.calibrating import FromFolds, complete, complete_from_folds
from pipelines.bundles.labelled_images import LabelledImages
from pipelines.bundles.opening import copy_bundle
from pipelines.charts.curves import curves_png
from pipelines.charts.network import network_png
from pipelines.storage import tables
from pipelines.training import layout
from pipelines.training.checkpoints import packed
from pipelines.training.claim import TrainingJob


def finish(
    job: TrainingJob,
    weights: Sequence[npt.NDArray[Any]],
    details: Mapping[str, Any],
    images: LabelledImages,
    from_folds: FromFolds | None = None,
) -> Bundle:
    """Measure the network as scoring will run it, and write history, curves and the bundle.

    Args:
        job: what was trained.
        weights: of the best epoch, in the order of `network.set_weights`.
        details: of the run, for bundle.json.
        images: of the manifest.
        from_folds: of a network that saw all of these images, which hence cannot be measured on
            them; its folds are.

    Returns:
        The bundle; its files lie below `output`/bundle, the record written last.
    """
    recipe, output = job.recipe, job.output
    import_tensorflow()
    from model.networks import build_network, folded

    trained = build_network(recipe.network, recipe.input.shape, recipe.heads)
    trained.set_weights(list(weights))
    network = folded(trained, recipe.network, recipe.kept_heads)
    history = list(details["history"])
    storage.write_bytes(storage.join(output, layout.WEIGHTS), packed(weights))
    tables.write_table(storage.join(output, layout.HISTORY), pa.Table.from_pylist(history))
    picture = curves_png(history, recipe.name)
    storage.write_bytes(storage.join(output, layout.CURVES), picture)

    with tempfile.TemporaryDirectory() as folder:
        # Written, read back and measured: the figures are those of the file that scoring loads.
        plain = write_bundle(
            Path(folder), network, name=recipe.name, input_spec=recipe.input,
            heads=recipe.kept_heads,
            details=details, storage_dtype=job.options.run.weights_dtype,
        )  # fmt: skip
        graph = network_png(layers_of(plain), f"{recipe.name}: layers")
        storage.write_bytes(storage.join(output, layout.NETWORK), graph)
        place = Path(folder) / "complete"
        int8 = job.options.run.quantization == "int8"
        if from_folds:
            bundle = complete_from_folds(plain, from_folds, images, place, int8)
        else:
            bundle = complete(plain, images, place, int8)
        copy_bundle(bundle, storage.join(output, layout.BUNDLE))
    return bundle
