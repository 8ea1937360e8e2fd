"""What a bundle is completed with: calibration, drift profile and metrics, of one pass a split."""

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from model import calibration, statistics
from model.backends.acceptance import MIN_IMAGES, compare, refusal
from model.backends.quantization import PICTURES
from model.backends.selection import INT8
from model.bundle import Bundle, with_details
from model.calibration import AGE_BINS, Reading
from model.errors import ManifestError
from model.predictor import Predictor
from model.preprocessing import InputSpec
from pipelines.bundles.networks import NOT_ASKED, Networks, make_networks
from pipelines.images.decoding import DecodedImages, decode_in_parts
from pipelines.images.pixel_cache import CachedPixels
from pipelines.manifests import manifest, splits
from pipelines.predictions import figures
from pipelines.predictions.figures import LabelledRows
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


def complete(bundle: Bundle, images: LabelledImages, folder: Path, int8: bool = True) -> Bundle:
    """Write a calibrated copy of a bundle, with drift profile, metrics and networks for OpenVINO.

    Fitted on val alone, profiled on train and val, measured on val and test with that calibration.

    Args:
        bundle: to complete; what it has of these is replaced.
        images: of the manifest that it was trained on.
        folder: gets the new bundle.
        int8: make an int8 network too, which is kept if it answers as well.

    Raises:
        ManifestError: there is no labelled val image that can be decoded.
    """
    with tempfile.TemporaryDirectory(prefix="facemill-engines-") as made_in:
        labels = (~manifest.labelled_already(images.labelled("val"))).sum()
        few = int(labels) < MIN_IMAGES
        sample = PICTURES if int8 and not few else 0
        splits = {"train": walk(images, "train", {}, sample)} if images.has("train") else {}
        shown = splits["train"].sample if splits else None
        made = make_networks(bundle, shown, Path(made_in))
        predictors = {"float32": Predictor(bundle)}
        if made.int8:
            predictors["int8"] = Predictor(made.int8, INT8)
        splits |= {s: walk(images, s, predictors) for s in ("val", "test") if images.has(s)}
        fitted = _fitted(images, splits.get("val"), predictors)
        details = _figures(bundle, splits, fitted["float32"])
        details["int8"] = {"refused": _why_none(int8, few, made)}
        if made.int8:
            details["int8"] = _judged(bundle, splits, fitted) | {"pictures": made.pictures}
        files = made.float_files
        if "calibration" in details["int8"]:
            files += made.int8_files
        elif int8:
            note(f"note: the bundle has no int8 network: {details['int8']['refused']}")
        return with_details(bundle, folder, details, files)


def _why_none(asked: bool, few: bool, made: Networks) -> str:
    """Why no int8 network was made."""
    if not asked:
        return NOT_ASKED
    return made.refused or (f"val has fewer than {MIN_IMAGES} labelled images" if few else "")


@dataclasses.dataclass(frozen=True)
class Walked:
    """A split, walked through.

    Attributes:
        rows: of the manifest, whose images could be decoded.
        statistics: of the images, columns of shape (n,).
        answers: precision -> columns of `Predictor.predict`.
        sample: some of the images, spread over the split; uint8 (k, height, width, channels).
    """

    rows: pa.Table
    statistics: dict[str, Any]
    answers: dict[str, dict[str, Any]]
    sample: Any = None

    @property
    def once(self) -> "Walked":
        """The same with one row of each label, to be measured."""
        kept = ~manifest.labelled_already(self.rows)
        columns = [self.statistics, *self.answers.values()]
        left = [{name: values[kept] for name, values in part.items()} for part in columns]
        answers = dict(zip(self.answers, left[1:], strict=True))
        return Walked(self.rows.filter(pa.array(kept)), left[0], answers)

    def labels(self, of_ranges: bool = False) -> tuple[Any, Any]:
        """Ages in years and genders (1 female), NaN where unlabelled; shape (n,).

        Args:
            of_ranges: take the middle of an age that is a range, else it is NaN.
        """
        rows = self.rows
        ages = manifest.codes(rows, "age_years") if of_ranges else manifest.exact_ages(rows)
        return ages, manifest.codes(rows, "gender")


def walk(
    images: LabelledImages, split: str, predictors: Mapping[str, Predictor], sample: int = 0
) -> Walked:
    """One pass over a split; an unlabelled test split is empty.

    Args:
        images: of a manifest.
        split: train, val or test.
        predictors: whose answers are wanted, by precision.
        sample: images to keep.

    Raises:
        ManifestError: no image of train or val can be decoded.
    """
    rows, kept = list[pa.Table](), list[Any]()
    statistics_of, answers = list[dict[str, Any]](), list[dict[str, Any]]()
    every = max(1, images.labelled(split).num_rows // sample) if sample else 0
    with phase(f"measure_{split}") as facts:
        try:
            for part, pictures in images.parts(split):
                pixels = pictures.pixels
                sizes = {"width": pictures.sizes[:, 0], "height": pictures.sizes[:, 1]}
                statistics_of.append(statistics.image_statistics(pixels) | sizes)
                answers.append({name: p.predict(pixels) for name, p in predictors.items()})
                rows.append(part)
                kept += [pixels[::every]] if sample else []
        except ManifestError as error:
            if split != "test":  # such as a test split that is kept unlabelled
                raise
            note(f"note: test is not measured: {error}")
            return Walked(images.table.slice(0, 0), {}, {})
        columns = _joined(statistics_of)
        facts["images"] = len(columns["width"])
    joined = {name: _joined([part[name] for part in answers]) for name in predictors}
    return Walked(
        pa.concat_tables(rows), columns, joined, np.concatenate(kept)[:sample] if kept else None
    )


def _joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _fitted(
    images: LabelledImages, val: Walked | None, precisions: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Calibration of each precision's answers on val.

    The age intervals of all are the reference's: their bounds are whole years, so a fit of its own
    may move a precision's coverage by a point where its answers move it by a tenth.
    """
    source = {"split": "val", "manifest_fingerprint": manifest.fingerprint(images.table)}
    ranges = int((~np.isnan(manifest.age_ranges(val.rows)[0])).sum()) if val else 0
    if ranges:
        note(
            f"note: {ranges:,} val ages are ranges: they are excluded from the calibration of "
            "the age interval"
        )
    fits: dict[str, dict[str, Any]] = {}
    for precision in precisions:
        shown = splits.pictures_shown(val.rows) if val else None
        fit = calibration.fit(val.answers[precision], *val.labels(), pictures=shown) if val else {}
        first = next(iter(fits.values()), fit)
        fits[precision] = fit | ({"age": first["age"]} if val else {}) | source
    return fits


def _figures(
    bundle: Bundle, splits: Mapping[str, Walked], fitted: Mapping[str, Any]
) -> dict[str, Any]:
    """Calibration, profile, metrics and constants of the reference, for bundle.json."""
    details: dict[str, dict[str, Any]] = {"profile": {}, "metrics": {}, "constants": {}}
    for name, split in splits.items():
        answers = split.answers.get("float32", {})
        if name != "test":
            calibrated = calibration.apply(answers, fitted, Reading()) if answers else {}
            counts = statistics.profile(split.statistics | answers | calibrated)
            details["profile"][name] = {"images": split.rows.num_rows, **counts}
        if name != "train" and split.rows.num_rows:
            known = _labelled(bundle, split.once, fitted)
            details["constants"][name] = dataclasses.asdict(figures.constants(known))
            details["metrics"][name] = figures.plain(figures.estimates(known))
    return {"calibration": dict(fitted), **details}


def _judged(
    bundle: Bundle, splits: Mapping[str, Walked], fitted: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """int8 beside the reference, split by split; its calibration, or why it is refused."""
    changes: dict[str, Any] = {}
    for name in ("val", "test"):
        split = splits.get(name)
        if split and split.rows.num_rows:
            once = split.once
            both = [
                calibration.apply(once.answers[p], fitted[p], Reading(), bundle.heads)
                for p in ("float32", "int8")
            ]
            changes[name] = compare(both[0], both[1], *once.labels(of_ranges=True))
    refused = refusal(changes["val"])
    verdict = {"refused": refused} if refused else {"calibration": dict(fitted["int8"])}
    return {"changes": changes, **verdict}


def _labelled(bundle: Bundle, split: Walked, fitted: Mapping[str, Any]) -> LabelledRows:
    """The reference's answers under its calibration, beside the labels."""
    bins = calibration.own_bins(bundle.heads)
    reading = Reading(age_bins=bins or "decades")
    calibrated = calibration.apply(split.answers["float32"], fitted, reading, bundle.heads)
    return figures.of_answers(calibrated, split.rows, AGE_BINS[bins] if bins else None)
