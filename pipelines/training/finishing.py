"""From the best weights to what a run leaves behind: metrics, history, curves and the bundle."""

import dataclasses
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from model import calibration, metrics
from model.bundle import Bundle, with_details, write_bundle
from model.calibration import AGE_BINS, Reading
from model.errors import ManifestError
from model.layer_graph import layers_of
from model.predictor import Predictor
from model.recipes import Recipe
from model.runtime import import_tensorflow
from pipelines import storage
from pipelines.bundles.calibrating import calibrate
from pipelines.bundles.opening import copy_bundle
from pipelines.figures.curves import curves_png
from pipelines.figures.network import network_png
from pipelines.images.decoding import decode_in_parts
from pipelines.manifests import manifest
from pipelines.storage import tables
from pipelines.training.checkpoints import packed
from pipelines.training.options import WEIGHTS_FILE


def finish(
    recipe: Recipe,
    weights: Sequence[npt.NDArray[Any]],
    details: Mapping[str, Any],
    table: pa.Table,
    output: str,
    weights_dtype: Literal["float32", "float16"],
) -> Bundle:
    """Measure the network as scoring will run it, and write history, curves and the bundle.

    Args:
        recipe: what was trained.
        weights: of the best epoch, in the order of `network.set_weights`.
        details: of the run, for bundle.json.
        table: the manifest.
        output: of the training job.
        weights_dtype: of the bundle on disk.

    Returns:
        The bundle; its files lie below `output`/bundle, the record written last.
    """
    import_tensorflow()
    from model.networks import build_network, folded

    trained = build_network(recipe.network, recipe.input.shape, recipe.heads)
    trained.set_weights(list(weights))
    network = folded(trained, recipe.network, recipe.kept_heads)
    history = list(details["history"])
    storage.write_bytes(storage.join(output, WEIGHTS_FILE), packed(weights))
    tables.write_table(storage.join(output, "history.parquet"), pa.Table.from_pylist(history))
    picture = curves_png(history, recipe.name)
    storage.write_bytes(storage.join(output, "curves.png"), picture)

    with tempfile.TemporaryDirectory() as folder:
        # Written, read back and measured: the figures are those of the file that scoring loads.
        plain = write_bundle(
            Path(folder), network, name=recipe.name, input_spec=recipe.input,
            heads=recipe.kept_heads,
            details=details, storage_dtype=weights_dtype,
        )  # fmt: skip
        graph = network_png(layers_of(plain), f"{recipe.name}: layers")
        storage.write_bytes(storage.join(output, "network.png"), graph)
        calibrated = calibrate(plain, table, Path(folder) / "calibrated")
        bundle = measured(calibrated, table, Path(folder) / "measured")
        copy_bundle(bundle, storage.join(output, "bundle"))
    return bundle


def measured(calibrated: Bundle, table: pa.Table, folder: Path) -> Bundle:
    """A bundle with the metrics that it has, calibrated as it is, on val and test.

    Args:
        calibrated: what to measure; earlier metrics are replaced.
        table: the manifest that it was trained on.
        folder: gets the new bundle.
    """
    predictor = Predictor(calibrated)
    found = {"val": measure(predictor, table, "val")}
    try:
        found["test"] = measure(predictor, table, "test")
    except ManifestError as error:  # such as a test split that is kept unlabelled
        print(f"note: test is not measured: {error}", file=sys.stderr, flush=True)
    return with_details(calibrated, folder, {"metrics": found})


def measure(predictor: Predictor, table: pa.Table, split: str) -> dict[str, Any]:
    """Metrics of one split, each as {value, low, high, images}.

    Raises:
        ManifestError: it has no labelled image that can be decoded.
    """
    rows, said = list[pa.Table](), list[dict[str, Any]]()
    spec, heads = predictor.bundle.input, predictor.bundle.heads
    for part, images in decode_in_parts(
        manifest.labelled(table, split), spec, f"measure on {split}"
    ):
        rows.append(part)
        said.append(predictor.predict(images.pixels))
    good = pa.concat_tables(rows)
    raw = {name: np.concatenate([part[name] for part in said]) for name in said[0]}
    fitted = predictor.bundle.record["calibration"]
    bins = calibration.chosen_bins("auto", heads)
    columns = calibration.apply(raw, fitted, Reading(age_bins=bins), heads)
    absent = np.full(good.num_rows, np.nan, dtype=np.float32)
    estimates = metrics.evaluate(
        manifest.codes(good, "age_years"),
        columns.get("age_years", absent),
        manifest.codes(good, "gender"),
        columns.get("p_female", absent),
    )
    if calibration.own_bins(heads):
        ages = manifest.codes(good, "age_years")
        estimates |= metrics.evaluate_groups(ages, columns["age_group"], AGE_BINS[bins])
    return {name: dataclasses.asdict(value) for name, value in estimates.items()}
