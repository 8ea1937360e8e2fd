"""What detection costs a core an image, beside another checkout, and a worker's memory."""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.faces.readings import Chips, Network
from benchmarks.faces.scenes import Pasted, jpeg, paste, photograph
from benchmarks.faces.settings import Settings
from benchmarks.harness import ROOT, peak_mib
from model.faces.crops import FaceSearch, crops_of
from pipelines.bundles.opening import open_bundle
from pipelines.images.batches import decode_entries_with
from pipelines.scoring.rows import score_entries

_IMAGES, _QUALITY, _LARGE_MEGAPIXELS = 40, 88, 50.0
_MOST_CHIPS = 400
# Run in a checkout; prints, of each folder, milliseconds of a core an image: decoding, detection
# and alignment alone, and with the network and its rows; and the faces.
_CHILD = """
import json, sys, time
from pathlib import Path
from model.faces.crops import FaceSearch, crops_of
from model.predictor import Predictor
from pipelines.bundles.opening import open_bundle
from pipelines.images.batches import decode_entries_with
from pipelines.scoring.rows import score_entries
folders, bundle = json.load(sys.stdin)
opened = open_bundle(bundle)
predictor, decode = Predictor(opened, threads=1), decode_entries_with(crops_of, FaceSearch())
for folder in folders:
    paths = sorted(Path(folder).glob("*.jpg"))
    files = [path.read_bytes() for path in paths]
    crops_of(files[0], opened.input, FaceSearch())
    began = time.process_time()
    faces = sum(len(crops_of(data, opened.input, FaceSearch()).faces) for data in files)
    crops = time.process_time() - began
    began = time.process_time()
    score_entries([{"uri": str(path)} for path in paths], predictor, decode=decode)
    whole = time.process_time() - began
    print(json.dumps([1e3 * crops / len(files), 1e3 * whole / len(files), faces]))
"""


def speed(settings: Settings) -> list[str]:
    """Crops, portraits and groups, here and in `--against` by turns."""
    chips = Chips.of(settings.manifest, "test", _MOST_CHIPS)
    with tempfile.TemporaryDirectory(prefix="facemill-faces-") as scratch:
        folder = Path(scratch)
        sets = _sets(chips, settings, folder)
        return [
            *_beside(sets, settings),
            "",
            *_memory(chips, settings, folder),
        ]


def _sets(chips: Chips, settings: Settings, folder: Path) -> dict[str, Path]:
    """Folders of JPEGs, by what they hold."""
    count, rng = settings.chips or _IMAGES, np.random.default_rng(5)
    sets = {"face crops of 200 px": folder / "crops"}
    sets["face crops of 200 px"].mkdir()
    for number, data in enumerate(chips.files[: 4 * count]):
        (folder / "crops" / f"{number}.jpg").write_bytes(data)
    for megapixels, faces in ((1.0, 1), (2.0, 1), (1.0, 12), (2.0, 20)):
        kind = "portraits" if faces == 1 else f"groups of {faces}"
        where = folder / f"{megapixels:g}-{faces}"
        where.mkdir()
        sets[f"{kind}, {megapixels:g} MP"] = where
        for number in range(count):
            chosen = [chips.image(int(i)) for i in rng.integers(len(chips.files), size=faces)]
            image = _photo(chosen, megapixels, rng)
            (where / f"{number}.jpg").write_bytes(jpeg(image, _QUALITY))
    if settings.photos.is_dir():
        sets["dlib's photographs"] = settings.photos
    return sets


def _photo(
    chips: Sequence[Image.Image], megapixels: float, rng: np.random.Generator
) -> Image.Image:
    """Faces of many sizes, slightly rolled, before a photograph without people."""
    from skimage import data

    width, height = (round((megapixels * 1e6 * ratio) ** 0.5) for ratio in (4 / 3, 3 / 4))
    scenes = (data.coffee(), data.rocket(), data.chelsea(), data.astronaut()[300:, :212])
    image = Image.fromarray(scenes[int(rng.integers(len(scenes)))])
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    across = int(np.ceil(np.sqrt(len(chips) * 4 / 3)))
    down = -(-len(chips) // across)
    for i, chip in enumerate(chips):
        side = int(min(width / across, height / down) * rng.uniform(0.25, 0.85))
        x, y = width / across * (i % across + 0.5), height / down * (i // across + 0.5)
        paste(image, chip, Pasted(x, y, side, float(rng.uniform(-12, 12))))
    return image


def _beside(sets: dict[str, Path], settings: Settings) -> list[str]:
    roots = {"here": ROOT} | ({"before": settings.against} if settings.against else {})
    asked = json.dumps([[str(path) for path in sets.values()], settings.bundle])
    runs: dict[str, list[list[list[float]]]] = {name: [] for name in roots}
    for _ in range(settings.rounds):
        for name, root in roots.items():
            done = subprocess.run(
                [sys.executable, "-c", _CHILD], input=asked, cwd=root, text=True,
                capture_output=True, check=True,
            )  # fmt: skip
            runs[name].append([json.loads(line) for line in done.stdout.splitlines()[-len(sets) :]])
    medians = {
        name: [
            [statistics.median(column) for column in zip(*cells, strict=True)]
            for cells in zip(*rounds, strict=True)
        ]
        for name, rounds in runs.items()
    }
    lines = [
        f"One core; medians of {settings.rounds} turns by process time, the checkouts in turn. "
        "Detection: decode, detect and align. Whole: with the network, float32, and its rows. "
        f"Portraits and groups: UTKFace's chips of many sizes, rolled by up to 12 degrees, before "
        f"scikit-image's photographs, JPEG quality {_QUALITY}.", "",
        "| images | faces here | before | detection, ms | before | times as fast | whole, ms |"
        " before | times as fast |", "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for number, title in enumerate(sets):
        here, before = (medians[n][number] if n in medians else None for n in ("here", "before"))
        assert here is not None
        old = ["–"] * 5 if before is None else [
            f"{before[2]:g}", f"{before[0]:.2f}", f"**{before[0] / here[0]:.1f}**",
            f"{before[1]:.2f}", f"{before[1] / here[1]:.1f}",
        ]  # fmt: skip
        lines.append(
            f"| {title} | {here[2]:g} | {old[0]} | {here[0]:.2f} | {old[1]} | {old[2]} |"
            f" {here[1]:.2f} | {old[3]} | {old[4]} |"
        )
    return lines


def _memory(chips: Chips, settings: Settings, folder: Path) -> list[str]:
    """Peak of a worker's process on photographs of 50 megapixels."""
    lines = [
        f"Memory of a worker's process, a photograph of {_LARGE_MEGAPIXELS:g} megapixels:", "",
        "| faces | found | MB before | MB at most |", "|---:|---:|---:|---:|",
    ]  # fmt: skip
    rng = np.random.default_rng(0)
    for faces in (1, 20):
        path = folder / f"large-{faces}.jpg"
        chosen = [chips.image(int(i)) for i in rng.integers(len(chips.files), size=faces)]
        path.write_bytes(jpeg(photograph(chosen, _LARGE_MEGAPIXELS, rng)[0], _QUALITY))
        asked = (str(path), settings.bundle)
        code = f"from benchmarks.faces.speed import print_peak; print_peak{asked}"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=True
        )
        told = json.loads(done.stdout.splitlines()[-1])
        lines.append(f"| {faces} | {told['found']} | {told['before']:,} | {told['peak']:,} |")
    return lines


def print_peak(path: str, bundle: str | None) -> None:
    """In a process of its own: what it takes to score one photo."""
    network = Network(open_bundle(bundle))
    decode = decode_entries_with(crops_of, FaceSearch())
    before = peak_mib()
    scored = score_entries([{"uri": path}], network.predictor, decode=decode)
    found = scored.predictions.num_rows
    print(json.dumps({"before": round(before), "peak": round(peak_mib()), "found": found}))
