"""Photographs a second of one core, the bound made of its parts, and a worker's memory."""

import functools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.faces.readings import Chips, Network
from benchmarks.faces.scenes import jpeg, photograph
from benchmarks.faces.settings import Settings
from benchmarks.harness import ROOT, peak_mib, seconds
from model.faces import crops, looks
from model.faces.crops import FaceSearch, crops_of
from model.faces.detector import shared_detector
from model.pictures import decode_picture
from pipelines.bundles.opening import open_bundle
from pipelines.images.batches import decode_entries_with
from pipelines.scoring.rows import score_entries

MEGAPIXELS, FACES = (0.25, 1.0, 12.0), (1, 5, 20)
_QUALITY, _PHOTOGRAPHS, _LARGE_MEGAPIXELS = 90, 64, 50.0
_MOST_CHIPS = 400
_TARGET = 0.85


def speed(settings: Settings) -> list[str]:
    """Every size and number of faces, the whole way and the bound in turns."""
    network = Network(open_bundle(settings.bundle))
    chips = Chips.of(settings.manifest, "test", _MOST_CHIPS)
    count = settings.chips or _PHOTOGRAPHS
    lines = [
        f"One core, {network.bundle.name} ({network.bundle.id}), float32; {count} different "
        f"photographs of each kind, made of enlarged chips, JPEG quality {_QUALITY}; medians of "
        f"{settings.rounds} turns. The whole way is what a worker does: read, find, align, network "
        "in batches of 64, rows. The bound is its parts, each alone: the same decodes, the same "
        "looks of the detector, the network on as many crops.", "",
        "| megapixels | faces | found | photographs/s | faces/s | bound/s | share | ms decode |"
        " detector | network |", "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="facemill-faces-") as folder:
        for megapixels in MEGAPIXELS:
            for faces in FACES:
                paths = _photographs(chips, megapixels, faces, count, Path(folder))
                lines.append(f"| {megapixels:g} | {faces} | {_row(paths, network, settings)} |")
                print(lines[-1], flush=True)
                for path in paths:
                    path.unlink()
        return [*lines, "", *_memory(chips, settings, Path(folder))]


def _photographs(
    chips: Chips, megapixels: float, faces: int, count: int, folder: Path
) -> list[Path]:
    rng, paths = np.random.default_rng([round(100 * megapixels), faces]), list[Path]()
    for number in range(count):
        chosen = [chips.image(int(i)) for i in rng.integers(len(chips.files), size=faces)]
        paths.append(folder / f"{megapixels}-{faces}-{number}.jpg")
        paths[-1].write_bytes(jpeg(photograph(chosen, megapixels, rng)[0], _QUALITY))
    return paths


def _row(paths: list[Path], network: Network, settings: Settings) -> str:
    way, parts, found = list[float](), list[tuple[float, float, float]](), 0
    for _ in range(settings.rounds):
        seconds, found = whole_way(paths, network)
        way.append(seconds)
        parts.append(alone(paths, network))
    seconds, (decode, detector, net) = (
        statistics.median(way), (statistics.median(column) for column in zip(*parts, strict=True)),
    )  # fmt: skip
    n, bound = len(paths), decode + detector + net
    share = bound / seconds
    each = " | ".join(f"{1e3 * part / n:.1f}" for part in (decode, detector, net))
    mark = "" if share >= _TARGET else " (missed)"
    return (
        f"{found / n:.2f} a photograph | {n / seconds:.1f} | {found / seconds:.1f} | "
        f"{n / bound:.1f} | {share:.2f}{mark} | {each}"
    )


def whole_way(paths: list[Path], network: Network) -> tuple[float, int]:
    """Seconds that a worker takes, and the faces it found."""
    entries: list[dict[str, Any]] = [{"uri": str(path)} for path in paths]
    decode = decode_entries_with(crops_of, FaceSearch())
    began = time.perf_counter()
    scored = score_entries(entries, network.predictor, decode=decode)
    return time.perf_counter() - began, scored.predictions.num_rows


def alone(paths: list[Path], network: Network) -> tuple[float, float, float]:
    """Seconds of decoding, of the detector and of the network, doing what the whole way asks."""
    spec, pixels, decode_s, detector_s = network.bundle.input, list[np.ndarray](), 0.0, 0.0
    for path in paths:
        data, decodes, shown = path.read_bytes(), list[tuple[Any, ...]](), list[np.ndarray]()

        def note_decode(*wanted: Any, seen: list[tuple[Any, ...]] = decodes) -> Any:
            seen.append(wanted)
            return decode_picture(*wanted)

        with (
            mock.patch.object(crops, "decode_picture", note_decode),
            mock.patch.object(looks, "decode_picture", note_decode),
            mock.patch.object(crops, "shared_detector", functools.partial(_Spy, shown)),
        ):
            pixels.append(crops_of(data, spec, FaceSearch()).pixels)
        decode_s += seconds(lambda seen=decodes: [decode_picture(*wanted) for wanted in seen])
        detector_s += seconds(lambda seen=shown: [shared_detector().find(p, 0.4) for p in seen])
    together = np.concatenate(pixels)
    return decode_s, detector_s, seconds(lambda: network.read(together))


class _Spy:
    """A detector that keeps what it was shown."""

    def __init__(self, shown: list[np.ndarray]) -> None:
        self._shown = shown

    def find(self, rgb: np.ndarray, min_score: float) -> np.ndarray:
        """See `Detector`."""
        self._shown.append(rgb)
        return shared_detector().find(rgb, min_score)


def _memory(chips: Chips, settings: Settings, folder: Path) -> list[str]:
    """Peak of a worker's process on photographs of 50 megapixels."""
    lines = [
        f"Memory of a worker's process, a photograph of {_LARGE_MEGAPIXELS:g} megapixels:", "",
        "| faces | found | MB before | MB at most |", "|---:|---:|---:|---:|",
    ]  # fmt: skip
    for faces in (1, 20):
        (path,) = _photographs(chips, _LARGE_MEGAPIXELS, faces, 1, folder)
        asked = (str(path), settings.bundle)
        code = f"from benchmarks.faces.speed import print_peak; print_peak{asked}"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=True
        )
        told = json.loads(done.stdout.splitlines()[-1])
        lines.append(f"| {faces} | {told['found']} | {told['before']:,} | {told['peak']:,} |")
        path.unlink()
    return lines


def print_peak(path: str, bundle: str | None) -> None:
    """In a process of its own: what it takes to score one photo."""
    network = Network(open_bundle(bundle))
    before = peak_mib()
    _, found = whole_way([Path(path)], network)
    print(json.dumps({"before": round(before), "peak": round(peak_mib()), "found": found}))
