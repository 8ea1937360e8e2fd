"""The seal of a bundle: a hash over every byte of its record, and of the model card beside it.

A bundle's id covers what can change a prediction; the seal covers the rest, such as metrics. It
shows damage and edits by mistake. It is no signature: whoever can write a bundle can seal it.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.errors import BundleError

CARD_FILES = ("MODEL_CARD.md", "MODEL_CARD.html")
CARD = "card"  # key of a record: name of a card's file -> the SHA-256 that it may have
_SEAL = "seal"
_OPEN = "0" * 64  # stands in the place of the seal while the hash is made
_PLACE = re.compile(rb'\A\{\n  "seal": "([0-9a-f]{64})"')


def sealed(record: Mapping[str, Any]) -> bytes:
    """A record as the bytes of its file, with its seal."""
    rest = {key: value for key, value in record.items() if key != _SEAL}
    text = (json.dumps({_SEAL: _OPEN, **rest}, indent=2) + "\n").encode()
    return text.replace(_OPEN.encode(), _hash(text), 1)


def require_sealed(data: bytes, path: Path) -> None:
    """Check the bytes of a record against its seal.

    Raises:
        BundleError: a byte is another.
    """
    place = _PLACE.match(data)
    if (
        place is None
        or _hash(data[: place.start(1)] + _OPEN.encode() + data[place.end(1) :]) != (place[1])
    ):
        raise BundleError(f"{path} was changed after it was written: copy it again")


def is_sealed(record: Mapping[str, Any]) -> bool:
    """Whether a record has a seal; those of 0.1.0 have none."""
    return _SEAL in record


def with_card(record: Mapping[str, Any], sums: Mapping[str, list[str]]) -> dict[str, Any]:
    """The record with other hashes of the card.

    Args:
        record: of the bundle.
        sums: name -> every SHA-256 that the file may have. While a card is being rewritten there
            are two, so that a bundle can be opened whoever dies meanwhile.
    """
    return {**record, CARD: {name: list(allowed) for name, allowed in sums.items()}}


def require_own_card(record: Mapping[str, Any], folder: Path) -> None:
    """Check the card, as far as it is there: a copy for workers has none.

    Raises:
        BundleError: it is not the one that was written for this bundle.
    """
    for name, allowed in dict(record.get(CARD) or {}).items():
        path = folder / Path(name).name
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() not in allowed:
            raise BundleError(
                f"{path} is not the card that was written (SHA-256): copy it again, or delete it "
                "and make it anew with jobs.report"
            )


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()
