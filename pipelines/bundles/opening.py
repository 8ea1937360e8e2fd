"""Where bundles come from: a folder, a prefix of a store, or those shipped with the checkout."""

import atexit
import contextlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from model.bundle import RECORD_FILE, Bundle, read_bundle
from model.checksums import CARD
from model.errors import BundleError
from pipelines import storage

SHIPPED = Path(__file__).parents[2] / "bundles"
DEFAULT_ORDER = ("facemill-utkface", "seed-final")  # the newest shipped one first


def open_bundle(uri: str | None) -> Bundle:
    """Read and check a bundle; None takes the newest shipped one.

    Raises:
        BundleError: there is none at `uri`, or it is damaged.
        StorageError: the store cannot be reached.
    """
    if uri is None:
        for name in DEFAULT_ORDER:
            if (SHIPPED / name / RECORD_FILE).is_file():
                return read_bundle(SHIPPED / name)
        raise BundleError(f"no bundle is shipped below {SHIPPED}: give `bundle`")
    uri = storage.normalize(uri)
    storage.require_readable(uri, "`bundle`")
    if storage.is_local(uri):
        return read_bundle(uri)
    # The folder lives as long as the process: a Predictor loads from it later.
    folder = Path(tempfile.mkdtemp(prefix="facemill-bundle-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        data = storage.read_bytes(storage.join(uri, RECORD_FILE))
        (folder / RECORD_FILE).write_bytes(data)
        record: Any = json.loads(data)
        for name in dict(record["files"]):
            (folder / Path(name).name).write_bytes(storage.read_bytes(storage.join(uri, name)))
        for name in record.get(CARD) or {}:
            with contextlib.suppress(FileNotFoundError):
                data = storage.read_bytes(storage.join(uri, name))
                (folder / Path(name).name).write_bytes(data)
    except FileNotFoundError as error:
        raise BundleError(f"{uri} is no bundle: {error}") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BundleError(f"{uri}/{RECORD_FILE} is damaged ({error}): copy it again") from None
    return read_bundle(folder)


def copy_bundle(bundle: Bundle, uri: str) -> None:
    """Write a bundle's files below `uri`, with its card, its record last, unless they are there."""
    record_uri = storage.join(uri, RECORD_FILE)
    if storage.exists(record_uri):
        return
    card = [name for name in bundle.record.get(CARD) or () if (bundle.folder / name).is_file()]
    for name in (*bundle.record["files"], *card, RECORD_FILE):
        storage.write_bytes(storage.join(uri, name), (bundle.folder / name).read_bytes())
