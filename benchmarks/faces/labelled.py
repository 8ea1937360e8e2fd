"""Real photographs with labelled faces: found, missed, false."""

import xml.etree.ElementTree as ET
from pathlib import Path

from benchmarks.faces.settings import Settings
from model.faces.crops import FaceSearch, crops_of
from pipelines.bundles.opening import open_bundle

_SAME = 0.3  # overlap from which a face is a labelled one
_OF_NOBODY = "dogs.jpg"
_LISTS = ("testing.xml", "training.xml")


def labels_of(folder: Path) -> dict[str, list[tuple[float, ...]]]:
    """Boxes (left, top, width, height) by file name, of dlib's two lists."""
    boxes = dict[str, list[tuple[float, ...]]]()
    for name in _LISTS:
        if not (folder / name).is_file():
            continue
        for image in ET.parse(folder / name).getroot().iter("image"):
            known = boxes.setdefault(Path(image.get("file", "")).name, [])
            for box in image.iter("box"):
                place = tuple(float(box.get(k, "0")) for k in ("left", "top", "width", "height"))
                known += [] if place in known else [place]
    return boxes


def labelled(settings: Settings) -> list[str] | None:
    """Each photograph at the defaults."""
    if settings.lacks_photos:
        return None
    spec, boxes = open_bundle(settings.bundle).input, labels_of(settings.photos)
    lines = [
        "dlib's example photographs. A labelled face is found where a face overlaps it by "
        f"{_SAME} or more (intersection over union). The defaults: "
        f"least score {FaceSearch().min_score}.", "",
        "| photograph | size | labelled | found | others |", "|---|---|---:|---:|---|",
    ]  # fmt: skip
    total = found_in_all = false = 0
    for path in sorted(settings.photos.glob("*.jpg")):
        crops = crops_of(path.read_bytes(), spec, FaceSearch())
        faces, known = crops.faces or (), boxes.get(path.name)
        hits = sum(any(face.overlap(box) >= _SAME for face in faces) for box in known or ())
        others = [f for f in faces if not any(f.overlap(box) >= _SAME for box in known or ())]
        scores = ", ".join(f"{face.score:.3f}" for face in others)
        told = f"{len(others)}" + (f" (scores {scores})" if others and len(others) < 9 else "")
        if known:
            total, found_in_all, false = (
                total + len(known), found_in_all + hits, false + len(others),
            )  # fmt: skip
        elif path.name != _OF_NOBODY:
            told += ", not labelled: look at them"
        count = f"{len(known)} | {hits}" if known else "– | –"
        lines.append(f"| {path.name} | {crops.width}x{crops.height} | {count} | {told} |")
    return [
        *lines, "",
        f"Together {found_in_all} of {total} labelled faces, {false} false among labelled people.",
    ]  # fmt: skip
