"""Photographs that lie on their side or head: faces kept, genders and ages that change."""

import json
import subprocess
import sys

from benchmarks.faces.labelled import labels_of
from benchmarks.faces.settings import Settings
from benchmarks.harness import ROOT

_SAME = 0.3  # overlap from which two boxes are one face
# Run in a checkout: prints, for each turn, labelled faces found, faces of the upright photographs
# that are kept, genders that change, and the mean of the absolute changes of age.
_CHILD = """
import io, json, sys
import numpy as np
from pathlib import Path
from PIL import Image
from model.faces.crops import FaceSearch, crops_of
from model.predictor import Predictor
from pipelines.bundles.opening import open_bundle
folder, bundle, labels, same = json.load(sys.stdin)
opened = open_bundle(bundle)
predictor = Predictor(opened, threads=1)
upright = {}
def back(box, turn, width, height):
    x, y, w, h = box[0] + box[2] / 2, box[1] + box[3] / 2, box[2], box[3]
    x, y = {0: (x, y), 90: (width - y, x), 180: (width - x, height - y), 270: (y, height - x)}[turn]
    w, h = (w, h) if turn % 180 == 0 else (h, w)
    return (x - w / 2, y - h / 2, w, h)
def overlap(a, b):
    x = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    y = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return 0 if min(x, y) <= 0 else x * y / (a[2] * a[3] + b[2] * b[3] - x * y)
def best(box, boxes):
    shares = [overlap(box, other) for other in boxes] or [0]
    return int(np.argmax(shares)) if max(shares) >= same else None
for turn in (0, 90, 180, 270):
    labelled = hits = faces = kept = genders = 0
    ages = []
    for path in sorted(Path(folder).glob("*.jpg")):
        image, data = Image.open(path).convert("RGB"), path.read_bytes()
        if turn:
            buffer = io.BytesIO()
            image.rotate(turn, expand=True).save(buffer, "PNG")
            data = buffer.getvalue()
        crops = crops_of(data, opened.input, FaceSearch())
        found = [(f.left, f.top, f.width, f.height) for f in crops.faces]
        found = [back(box, turn, *image.size) for box in found]
        told = predictor.predict(crops.pixels) if found else None
        known = labels.get(path.name, [])
        labelled += len(known)
        hits += sum(best(box, found) is not None for box in known)
        before, said = upright.setdefault(path.name, (found, told))
        faces += len(before)
        for number, box in enumerate(before):
            other = best(box, found)
            if other is not None:
                kept += 1
                genders += (said["p_female"][number] > 0.5) != (told["p_female"][other] > 0.5)
                ages.append(abs(float(said["age_years"][number] - told["age_years"][other])))
    print(json.dumps([turn, int(hits), labelled, kept, faces, int(genders), float(np.mean(ages))]))
"""


def turned(settings: Settings) -> list[str] | None:
    """Dlib's photographs by quarter turns without EXIF, here and in `--against`."""
    if settings.lacks_photos:
        return None
    asked = json.dumps([str(settings.photos), settings.bundle, labels_of(settings.photos), _SAME])
    lines = [
        "dlib's example photographs, saved turned as PNG, without EXIF. Kept: faces of the upright "
        "photographs that are found where they were. Changes are of the kept faces.", "",
        "| checkout | turned, degrees | labelled faces | kept | genders changed |"
        " mean change of age, years |", "|---|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    roots = ({"before": settings.against} if settings.against else {}) | {"here": ROOT}
    for name, root in roots.items():
        done = subprocess.run(
            [sys.executable, "-c", _CHILD], input=asked, cwd=root, text=True,
            capture_output=True, check=True,
        )  # fmt: skip
        for line in done.stdout.splitlines()[-4:]:
            turn, hits, labelled, kept, faces, genders, age = json.loads(line)
            lines.append(
                f"| {name} | {turn} | {hits} of {labelled} | {kept} of {faces} | {genders} |"
                f" {age:.2f} |"
            )
    return lines
