"""Whether images are face crops already, or photos: `faces` auto, decided.

A sample of the inputs, chosen by a hash of their uris, is looked at before the first shard, by a
process of its own, as any decoder may crash. What is decided stands in job.json from then on.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa

from model.errors import DecodeError
from model.faces.alignment import UTKFACE_CHIPS
from model.faces.crops import Crops
from pipelines.images.batches import CropShape
from pipelines.images.guarded_decoder import IsolatedDecoder
from pipelines.predictions import frozen_inputs, layout
from pipelines.predictions.uri_hashes import hash_strings
from pipelines.scoring.plan import Plan, settle_faces
from pipelines.storage import listing, tables
from pipelines.storage.fetching import ReadFailure, fetch_all
from pipelines.telemetry.log import note

SAMPLE = 64  # images: half a second, and 90 % of them are told from 70 % in 999 of 1,000 samples
_MAX_SHARDS = 16  # that are read for it, spread evenly: of a billion inputs too
_NEARLY_ALL = 0.9
_NAMED = 3  # images of the sample that are no crops
# Mean distance of the five points from the template, in shares of the image's side: 99 % of
# UTKFace's chips are within 0.07; in a portrait whose head is half as high as the image it is
# 0.12.
_MAX_OFF = 0.08


Shard = TypeVar("Shard")


@dataclasses.dataclass(frozen=True)
class Choice:
    """What `auto` became, and why; of crops, what they look like."""

    faces: Literal["detect", "crop"]
    because: str
    shape: CropShape | None = None

    def __str__(self) -> str:
        """`crop, as …`."""
        return f"{self.faces}, as {self.because}"


def decide(planned: Plan, frozen: frozen_inputs.FrozenInputs) -> Plan:
    """The plan with `auto` decided by its frozen inputs, and that written down; else as it is."""
    if planned.faces != "auto":
        return planned
    choice = choose_by_frozen(planned, frozen)
    note(f"faces: {choice}")
    decided = dataclasses.replace(planned, faces=choice.faces, shape=choice.shape)
    settle_faces(decided, choice.because)
    return decided


def choose_by_frozen(planned: Plan, frozen: frozen_inputs.FrozenInputs) -> Choice:
    """Look at a sample of a run's frozen inputs."""
    names = (layout.shard(frozen.output, layout.INPUTS, i) for i in range(len(frozen.rows)))
    return choose(planned, map(tables.read_table, some(list(names))))


def some(shards: Sequence[Shard]) -> Sequence[Shard]:
    """A few of many shards, spread evenly: of a billion inputs not all are read for a sample."""
    return shards[:: max(1, -(-len(shards) // _MAX_SHARDS))]


def choose(planned: Plan, shards: Iterable[pa.Table]) -> Choice:
    """Look at a sample of inputs.

    Args:
        planned: whose bundle and limits hold.
        shards: tables of inputs.
    """
    job, options = planned.job, planned.job.options
    limits, search = options.limits, options.detection.search
    entries = sample(shards, job.source.by_name)
    decoder = IsolatedDecoder(limits.decoder, limits.image_timeout_s)
    looked_at, sizes, others = 0, list[tuple[int, int]](), list[str]()
    try:
        for entry, data in zip(entries, fetch_all(entries), strict=True):
            if isinstance(data, ReadFailure):
                continue
            try:
                crops = decoder(data, job.bundle.input, search)
            except DecodeError:
                continue
            looked_at += 1
            if is_aligned_face(crops):
                sizes.append((crops.width, crops.height))
            else:
                others.append(entry["uri"])
    finally:
        decoder.close()
    aligned = len(sizes)
    those = "image is one" if looked_at == 1 else "images are each one"
    because = f"{aligned} of {looked_at} sampled {those} aligned face"
    if not looked_at or aligned < _NEARLY_ALL * looked_at:
        return Choice("detect", f"only {because}")
    if others:
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        because += f"; not {', '.join(others[:_NAMED])}{more}"
    return Choice("crop", because, CropShape.of(sizes))


def sample(shards: Iterable[pa.Table], by_name: bool) -> list[dict[str, Any]]:
    """The `SAMPLE` inputs whose uris have the smallest hashes: the same ones whatever the order."""
    chosen: list[tuple[int, dict[str, Any]]] = []
    for shard in shards:
        hashes = hash_strings(shard["uri"])["first"]
        for row in np.argsort(hashes)[: SAMPLE * (4 if by_name else 1)].tolist():
            entry = shard.slice(row, 1).to_pylist()[0]
            if not by_name or listing.has_image_name(entry["uri"]):
                chosen.append((int(hashes[row]), entry))
        chosen = sorted(chosen, key=lambda pair: pair[0])[:SAMPLE]
    return [entry for _, entry in chosen]


def is_aligned_face(crops: Crops) -> bool:
    """Whether an image is one face, where UTKFace's chips have it."""
    if crops.faces is None or len(crops.faces) != 1 or crops.skipped:
        return False
    template = np.array(UTKFACE_CHIPS.points).reshape(5, 2)
    points = crops.faces[0].point_array / (crops.width, crops.height)
    return float(np.hypot(*(points - template).T).mean()) <= _MAX_OFF
