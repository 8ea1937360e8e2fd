"""Changes single bytes of a bundle and looks whether it is still opened."""

from pathlib import Path

from model.bundle import read_bundle
from model.errors import BundleError


def changed_bytes(folder: Path, every: int, most: int | None = None) -> tuple[int, list[str]]:
    """Change each `every`-th byte of each file, one at a time.

    Args:
        folder: of a bundle, which is as it was afterwards.
        every: 1 for all bytes.
        most: bytes of a file that are tried at most, spread evenly; all by default.

    Returns:
        How many were tried, and those that were not refused.
    """
    tried, accepted = 0, list[str]()
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        step = max(every, len(data) // most if most else 1)
        for place in range(0, len(data), step):
            changed = bytearray(data)
            # A blank becomes a tab and a digit another digit: JSON that says nearly the same.
            changed[place] = 9 if data[place] == 32 else data[place] ^ 1
            path.write_bytes(changed)
            tried += 1
            try:
                read_bundle(folder)
                accepted.append(f"{path.name}:{place}")
            except BundleError:
                continue
            finally:
                path.write_bytes(data)
    return tried, accepted
