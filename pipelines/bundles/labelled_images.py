"""The labelled images of a manifest, and what networks say of them."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from model import statistics
from model.errors import ManifestError
from model.predictor import Predictor
from model.preprocessing import InputSpec
from pipelines.images.decoding import DecodedImages, decode_in_parts
from pipelines.images.pixel_cache import CachedPixels
from pipelines.manifests import manifest
from pipelines.predictions.raw_predictions import RawPredictions, labels_of
from pipelines.telemetry.log import note
from pipelines.telemetry.phases import phase


class LabelledImages:
    """The labelled images of a manifest, split by split, decoded once each.

    Attributes:
        table: the manifest.
        spec: what the network takes.
    """

    def __init__(
        self, table: pa.Table, spec: InputSpec, cached: Mapping[str, CachedPixels] | None = None
    ) -> None:
        """Name them; `cached` holds the pixels of splits that have been decoded already."""
        self.table, self.spec, self._cached = table, spec, cached or {}

    def has(self, split: str) -> bool:
        """Whether the manifest has such a split."""
        return split in self.table["split"].to_pylist()

    def labelled(self, split: str) -> pa.Table:
        """Labelled rows of a split."""
        return manifest.labelled(self.table, split) if self.has(split) else self.table.slice(0, 0)

    def parts(self, split: str) -> Iterator[tuple[pa.Table, DecodedImages]]:
        """The rows that could be decoded and their pixels, some of them in memory at a time.

        Raises:
            ManifestError: the split has no labelled image that can be decoded.
        """
        rows = manifest.labelled(self.table, split)
        if split not in self._cached:
            yield from decode_in_parts(rows, self.spec, f"decode {split}")
            return
        for index, images in self._cached[split].parts():
            yield rows.take(index), images


def predict(
    images: LabelledImages, split: str, predictors: Mapping[str, Predictor], sample: int = 0
) -> RawPredictions:
    """One pass over a split; an unlabelled test split is empty.

    Args:
        images: of a manifest.
        split: train, val or test.
        predictors: of one bundle, whose predictions are wanted, by precision; there may be none.
        sample: images to keep.

    Raises:
        ManifestError: no image of train or val can be decoded.
    """
    heads = next((predictor.bundle.heads for predictor in predictors.values()), ())
    rows, kept, columns = list[pa.Table](), list[Any](), list[dict[str, Any]]()
    outputs: dict[str, list[dict[str, Any]]] = {name: [] for name in predictors}
    every = max(1, images.labelled(split).num_rows // sample) if sample else 0
    with phase(f"measure_{split}") as facts:
        try:
            for part, pictures in images.parts(split):
                sizes = {"width": pictures.sizes[:, 0], "height": pictures.sizes[:, 1]}
                columns.append(statistics.image_statistics(pictures.pixels) | sizes)
                for name, predictor in predictors.items():
                    outputs[name].append(predictor.predict(pictures.pixels))
                rows.append(part)
                kept += [pictures.pixels[::every]] if sample else []
        except ManifestError as error:
            if split != "test":  # such as a test split that is kept unlabelled
                raise
            note(f"note: test is not measured: {error}")
            return RawPredictions(labels_of(images.table.slice(0, 0)), {}, {})
        labelled = labels_of(pa.concat_tables(rows))
        facts["images"] = labelled.num_rows
    return RawPredictions(
        labelled,
        _joined(columns),
        {name: _joined(parts) for name, parts in outputs.items()},
        heads,
        np.concatenate(kept)[:sample] if kept else None,
    )


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
