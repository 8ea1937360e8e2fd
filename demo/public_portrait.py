"""A photo that anybody may use: NASA's portrait of an astronaut, which scikit-image holds."""

import importlib.util
import shutil
from pathlib import Path


def copied(folder: Path) -> bool:
    """Put it there as portrait.png, 512x512, if scikit-image is installed; else say that not."""
    spec = importlib.util.find_spec("skimage")  # found, not imported: that takes a second
    if spec is None or spec.origin is None:
        print("no photo is scored: scikit-image, which includes one, is not installed")
        return False
    shutil.copy(Path(spec.origin).parent / "data" / "astronaut.png", folder / "portrait.png")
    return True
