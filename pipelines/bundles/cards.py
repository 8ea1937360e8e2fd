"""Puts a model card beside its bundle, and its hash into the bundle's record."""

import hashlib
from collections.abc import Mapping

from model.bundle import BUNDLE_VERSION, RECORD_FILE, Bundle
from model.checksums import CARD, CARD_FILES, sealed, with_card
from pipelines import storage


def put_card(bundle: Bundle, uri: str, files: Mapping[str, bytes]) -> list[str]:
    """Write the files of a card into the folder of its bundle.

    The record names the old card and the new one while files are replaced, so a bundle whose writer
    dies meanwhile can be opened, and the same command again ends it.

    Args:
        bundle: as it was read there; its id stays.
        uri: of its folder.
        files: name, of `CARD_FILES` -> bytes.

    Returns:
        URIs of the files.
    """
    sums = {name: [hashlib.sha256(data).hexdigest()] for name, data in files.items()}
    before = dict(bundle.record.get(CARD) or _found(uri))
    both = {name: sorted({*before.get(name, ()), *allowed}) for name, allowed in sums.items()}
    _put_record(bundle, uri, {**before, **both})
    for name, data in files.items():
        storage.write_bytes(storage.join(uri, name), data)
    _put_record(bundle, uri, {**before, **sums})
    return [storage.join(uri, name) for name in files]


def seal(bundle: Bundle, uri: str) -> None:
    """Seal a bundle of 0.1.0, which has no seal, with the card that lies beside it."""
    _put_record(bundle, uri, _found(uri))


def is_at(bundle: Bundle, uri: str) -> bool:
    """Whether `uri` is the folder that a bundle was read from."""
    try:
        return (
            storage.read_bytes(storage.join(uri, RECORD_FILE))
            == (bundle.folder / RECORD_FILE).read_bytes()
        )
    except FileNotFoundError:
        return False


def _found(uri: str) -> dict[str, list[str]]:
    """Hashes of the card that lies beside a bundle."""
    uris = {name: storage.join(uri, name) for name in CARD_FILES}
    return {
        name: [hashlib.sha256(storage.read_bytes(file)).hexdigest()]
        for name, file in uris.items()
        if storage.exists(file)
    }


def _put_record(bundle: Bundle, uri: str, sums: Mapping[str, list[str]]) -> None:
    record = {**with_card(bundle.record, sums), "bundle_version": BUNDLE_VERSION}
    storage.write_bytes(storage.join(uri, RECORD_FILE), sealed(record))
