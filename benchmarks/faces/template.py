"""Where the points of UTKFace's own chips lie: the template of `alignment.UTKFACE_CHIPS`."""

import numpy as np

from benchmarks.faces.settings import Settings
from model.faces.alignment import UTKFACE_CHIPS
from model.faces.crops import FaceSearch, crops_of
from model.faces.face import POINTS
from model.preprocessing import InputSpec
from pipelines import storage
from pipelines.manifests import manifest

_MIRRORED = [1, 0, 2, 4, 3]  # which point each of `POINTS` is in the mirror
_CHIPS = 2_263


def template(settings: Settings) -> list[str]:
    """Medians over chips of train, averaged with their mirror image, beside the constant."""
    rows = manifest.labelled(manifest.read_manifest(settings.manifest), "train")
    step = max(1, rows.num_rows // (settings.chips or _CHIPS))
    points = []
    for uri in rows["uri"].to_pylist()[::step]:
        crops = crops_of(storage.read_bytes(uri), InputSpec(96, 96, "rgb"), FaceSearch())
        if crops.faces:
            points.append(crops.faces[0].point_array / (crops.width, crops.height))
    median = np.median(points, axis=0)
    mirrored = median[_MIRRORED] * (-1, 1) + (1, 0)
    measured = (median + mirrored) / 2
    ours = np.array(UTKFACE_CHIPS.points).reshape(5, 2)
    return [
        f"Medians of {len(points):,} chips of train, in shares of the side, averaged with their "
        "mirror image, beside `UTKFACE_CHIPS`.",
        "",
        "| point | measured x, y | template x, y |",
        "|---|---|---|",
        *(
            f"| {name.replace('_', ' ')} | {x:.4f}, {y:.4f} | {a:.4f}, {b:.4f} |"
            for name, (x, y), (a, b) in zip(POINTS, measured, ours, strict=True)
        ),
    ]
