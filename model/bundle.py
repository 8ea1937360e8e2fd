"""The bundle, the folder that scoring loads: `bundle.json` describes what `network.keras` holds.

Loading never unpickles nor runs code from the bundle: Keras safe mode is on, Lambda layers are
refused, the hash of every file and of the record is checked. `read_bundle` needs no TensorFlow.
"""

import dataclasses
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from model import labels
from model.checksums import CARD, is_sealed, require_own_card, require_sealed, sealed
from model.errors import BundleError
from model.heads import Head
from model.pictures import PREPROCESSING_VERSION
from model.preprocessing import InputSpec

if TYPE_CHECKING:
    import keras

BUNDLE_VERSION = 2  # 1, of release 0.1.0, has no seal
NETWORK_FILE = "network.keras"
RECORD_FILE = "bundle.json"
FLOAT_FILES = ("openvino.xml", "openvino.bin")  # for OpenVINO: see model/backends
INT8_FILES = ("openvino-int8.xml", "openvino-int8.bin")
_SAFE_MODULES = frozenset(
    ["keras", "keras.layers", "keras.initializers", "keras.src.models.functional", "model.layers"]
)
_CODE_CLASSES = frozenset(["Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "function"])
WEIGHTS_MEMBER = "model.weights.h5"
_MOST_CONFIG_BYTES = 64 << 20  # the largest preset's has 300 KB
# What zipfile and json raise of damaged bytes: also of a place outside of the file (OSError), a
# password (RuntimeError), another method of packing (NotImplementedError).
_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, LookupError, ValueError,
           RuntimeError, NotImplementedError, OverflowError)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Bundle:
    """What `bundle.json` says.

    Attributes:
        id: 16 hex digits over all that can change a prediction.
        name: preset that it was trained from.
        input: what the network takes.
        heads: what it emits.
        record: the whole of bundle.json: recipe, metrics, history, versions, …
        folder: where the files are.
    """

    id: str
    name: str
    input: InputSpec
    heads: tuple[Head, ...]
    record: Mapping[str, Any]
    folder: Path

    def calibration_in(self, precision: str) -> Mapping[str, Any] | None:
        """What `calibration.apply` takes for outputs of that precision; None without one."""
        part = self.record.get("int8") if precision == "int8" else self.record
        return (part or {}).get("calibration")


def _head_from_json(data: Mapping[str, Any]) -> Head:
    fields: dict[str, Any] = {**data, "classes": tuple(data["classes"])}
    return Head(**fields)


def _identity(record: Mapping[str, Any]) -> str:
    """Hash over all that can change a prediction: networks, input, heads, labels, calibrations."""
    parts = {key: record.get(key) for key in ("files", "input", "heads", "labels", "calibration")}
    if "int8" in record:  # older records have none, and keep their ids
        parts["int8"] = record["int8"].get("calibration")
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def write_bundle(
    folder: Path,
    network: "keras.Model",
    *,
    name: str,
    input_spec: InputSpec,
    heads: tuple[Head, ...],
    details: Mapping[str, Any],
    storage_dtype: Literal["float32", "float16"] = "float32",
) -> Bundle:
    """Write a bundle; `bundle.json` comes last, so its existence means the bundle is whole.

    Args:
        folder: made if need be.
        network: trained, as built by model/networks.py.
        name: of the preset.
        input_spec: its input.
        heads: its outputs.
        details: recipe, metrics, history, manifest fingerprint, versions, card, calibration.
        storage_dtype: float16 halves the file; weights become float32 again on loading.

    Returns:
        The bundle as `read_bundle` gives it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NETWORK_FILE
    network.save(path)
    _repack(path, storage_dtype)
    record: dict[str, Any] = {
        "bundle_version": BUNDLE_VERSION,
        "name": name,
        "input": {**input_spec.to_json(), "hash": input_spec.hash},
        "heads": [dataclasses.asdict(head) for head in heads],
        "labels": {
            "genders": labels.GENDERS,
            "races": labels.RACES,
            "age_years": [labels.MIN_AGE_YEARS, labels.MAX_AGE_YEARS],
        },
        "calibration": None,
        "files": {NETWORK_FILE: hashlib.sha256(path.read_bytes()).hexdigest()},
        "storage_dtype": storage_dtype,
        **details,
    }
    record = json.loads(json.dumps(record, default=str))
    record = {"bundle_id": _identity(record), **record}
    (folder / RECORD_FILE).write_bytes(sealed(record))
    return read_bundle(folder)


def with_details(
    bundle: Bundle, folder: Path, details: Mapping[str, Any], files: Iterable[Path] = ()
) -> Bundle:
    """Write a copy of a bundle with other details, e.g. `calibration` and `profile`; a new id.

    Args:
        bundle: to copy; of its files, the network that was trained.
        folder: of the copy.
        details: in place of the record's own.
        files: more to go with it, such as networks of other backends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sums = dict[str, str]()
    for path in (bundle.folder / NETWORK_FILE, *files):
        data = path.read_bytes()
        (folder / path.name).write_bytes(data)
        sums[path.name] = hashlib.sha256(data).hexdigest()
    version = {"bundle_version": BUNDLE_VERSION}
    record = {**bundle.record, **version, **details, "files": sums}
    record.pop(CARD, None)  # it describes the other
    record = json.loads(json.dumps(record, default=str))
    record["bundle_id"] = _identity(record)
    (folder / RECORD_FILE).write_bytes(sealed(record))
    return read_bundle(folder)


def _repack(path: Path, storage_dtype: str) -> None:
    """Rewrite the `.keras` zip without dates (equal weights give equal bytes), maybe in float16."""
    import h5py

    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in sorted(archive.namelist())}
    members["metadata.json"] = json.dumps(
        {k: v for k, v in json.loads(members["metadata.json"]).items() if k != "date_saved"}
    ).encode()
    if storage_dtype == "float16":
        buffer = io.BytesIO()
        with h5py.File(io.BytesIO(members[WEIGHTS_MEMBER])) as old, h5py.File(buffer, "w") as new:
            _copy_as_float16(old, new)
        members[WEIGHTS_MEMBER] = buffer.getvalue()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)


def _copy_as_float16(old: Any, new: Any) -> None:
    """Copy an HDF5 group, float32 arrays as float16 (the largest weight must fit 65,504)."""
    import h5py

    for key, value in old.attrs.items():
        new.attrs[key] = value
    for name, item in old.items():
        if isinstance(item, h5py.Group):
            _copy_as_float16(item, new.create_group(name))
        else:
            data = np.asarray(item)
            small = data.dtype == np.float32 and (data.size == 0 or np.abs(data).max() < 65_504)
            new.create_dataset(name, data=data.astype(np.float16) if small else data)


def read_bundle(folder: str | Path) -> Bundle:
    """Read and check a bundle without loading the network or TensorFlow.

    Raises:
        BundleError: not a bundle, a newer version, or a file that is not what was written.
    """
    folder = Path(folder)
    if (folder / RECORD_FILE).exists() and not (folder / RECORD_FILE).is_file():
        raise BundleError(f"{folder / RECORD_FILE} is no regular file: copy the bundle again")
    try:
        data = (folder / RECORD_FILE).read_bytes()
        record = json.loads(data)
        version = int(record["bundle_version"])
        files = {NETWORK_FILE: "", **dict(record["files"])}
        bundle_id = str(record["bundle_id"])
        stored = dict(record["input"])
    except FileNotFoundError:
        raise BundleError(
            f"{folder} is no bundle: it has no {RECORD_FILE}. Give the folder that jobs.train wrote"
        ) from None
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BundleError(f"{folder / RECORD_FILE} is damaged ({error}): copy it again") from None
    strange = set(stored) - {"hash", *(field.name for field in dataclasses.fields(InputSpec))}
    if version > BUNDLE_VERSION or stored.get("version", 0) > PREPROCESSING_VERSION or strange:
        raise BundleError(f"{folder} was written by a newer facemill: update this checkout")
    if version > 1 or is_sealed(record):
        require_sealed(data, folder / RECORD_FILE)
        require_own_card(record, folder)
    for name, expected in files.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise BundleError(f"{folder} lacks its file {name!r}: copy the bundle again")
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise BundleError(f"{path} is not the file that was written (SHA-256): copy it again")
    if _identity(record) != bundle_id:
        raise BundleError(f"{folder / RECORD_FILE} was changed after it was written: copy it again")
    try:
        stored_hash = stored.pop("hash")
        spec = InputSpec.from_json(stored)
        heads = tuple(_head_from_json(head) for head in record["heads"])
        name = str(record["name"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{folder / RECORD_FILE} is damaged ({error}): copy it again") from None
    if spec.hash != stored_hash:
        raise BundleError(f"{folder}: this facemill preprocesses otherwise than the bundle expects")
    return Bundle(bundle_id, name, spec, heads, record, folder)


def read_architecture(bundle: Bundle) -> Any:
    """What the network's archive says of its layers, as JSON.

    Raises:
        BundleError: it is no such archive, or a damaged one.
    """
    path = bundle.folder / NETWORK_FILE
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > _MOST_CONFIG_BYTES:
                raise ValueError("its config.json is larger than any network's")
            return json.loads(archive.read("config.json"))
    except _DAMAGE as error:
        raise BundleError(f"{path} is no Keras archive ({error}): copy the bundle again") from None


def _refuse_code(bundle: Bundle) -> None:
    """Check that the architecture names only Keras's own classes, none of which runs given code.

    Keras's safe mode refuses Lambda layers too, but by itself: it has had holes (CVE-2025-1550).
    """
    path = bundle.folder / NETWORK_FILE
    waiting: list[Any] = [read_architecture(bundle)]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        elif isinstance(item, dict):
            parts: dict[str, Any] = item
            waiting += parts.values()
            name, module = parts.get("class_name"), parts.get("module")
            safe = module is None or str(module) in _SAFE_MODULES
            if name is not None and (not safe or str(name) in _CODE_CLASSES):
                raise BundleError(f"{path} holds a {name} of {module}, which may run code: refused")


def load_network(bundle: Bundle, precision: str = "float32") -> "keras.Model":
    """Load the network for inference.

    Args:
        bundle: from `read_bundle`, which has checked the hashes.
        precision: float32, bfloat16 or float16 of the body; heads stay in float32.

    Raises:
        BundleError: the architecture holds a layer that would run code.
    """
    import keras

    from model.networks import with_precision

    _refuse_code(bundle)
    try:
        network: Any = keras.saving.load_model(
            bundle.folder / NETWORK_FILE, compile=False, safe_mode=True
        )
    except (ValueError, TypeError, KeyError, OSError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise BundleError(f"{bundle.folder / NETWORK_FILE} cannot be loaded: {first}") from None
    if precision == "float32":
        return network
    return with_precision(network, precision, [head.name for head in bundle.heads])
