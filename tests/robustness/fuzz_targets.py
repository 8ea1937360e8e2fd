"""What strangers control, each as a target of fuzzing.py: seeds, and who reads them."""

import dataclasses
import functools
import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from model import bundle as bundles
from model.bundle import NETWORK_FILE, RECORD_FILE, read_bundle
from model.checksums import sealed
from model.faces.crops import crops_of
from model.layer_graph import layers_of
from model.preprocessing import InputSpec
from pipelines.manifests import ingest
from pipelines.manifests.manifest import read_manifest
from pipelines.manifests.options import IngestOptions
from pipelines.manifests.sources import open_source
from pipelines.predictions import frozen_inputs
from pipelines.predictions.verification import verify
from pipelines.storage import listing
from pipelines.storage.fetching import fetch_all
from tests.archives import parquet_of, tar_of, zip_of
from tests.corpus import KINDS, encoded, face

GOLDEN = Path(__file__).parents[1] / "golden" / "0.1.0"
_SPEC = InputSpec(64, 64, "rgb")
_MAX_SEED_BYTES = 60_000


def _nothing(folder: Path) -> None:
    """Most targets need nothing beside the file."""


@dataclasses.dataclass(frozen=True)
class Target:
    """What is fuzzed.

    Attributes:
        name: of the target.
        seeds: good files, given a folder to make them in.
        eat: reads bytes as such a file, in a folder of its own.
        share: of all cases, beside the others.
        prepare: puts into the folder what is needed beside the file.
    """

    name: str
    seeds: Callable[[Path], list[bytes]]
    eat: Callable[[bytes, Path], Any]
    share: float = 1.0
    prepare: Callable[[Path], None] = _nothing


def _pictures(_: Path) -> list[bytes]:
    """The corpus: good files and bad ones of every format."""
    made = list[bytes]()
    with tempfile.TemporaryDirectory() as folder:
        for number, kind in enumerate(KINDS):
            path = Path(folder, f"{number}")
            if kind.make is None:
                continue
            kind.make(path)
            if path.is_file() and path.stat().st_size < _MAX_SEED_BYTES:
                made.append(path.read_bytes())
    return made


def _decode(data: bytes, _: Path) -> None:
    crops_of(data, _SPEC)


@functools.cache
def _face() -> bytes:
    return encoded(face().resize((40, 40)))


def _members() -> dict[str, bytes]:
    return {"30_1_0_20170101.jpg": _face(), "deep/2.jpg": _face()[:300], "notes.json": b'{"age":3}'}


def _archive(suffix: str) -> Callable[[bytes, Path], None]:
    def eat(data: bytes, folder: Path) -> None:
        path = folder / f"x{suffix}"
        path.write_bytes(data)
        entries = [dataclasses.asdict(entry) for entry in listing.list_files(str(path), limit=200)]
        for _ in fetch_all(entries[:200]):
            pass

    return eat


def _label_texts(_: Path) -> list[bytes]:
    text = (
        "path,age,gender,race\n30_1_0_20170101.jpg,31,male,white\ndeep/2.jpg,20-29,f,asian\n"
        '"x, y.jpg",(25; 32),,"Latino"\n'
    )
    return [
        text.encode(), text.replace(",", "\t").encode(), text.replace(",", ";").encode("utf-16"),
        text.encode("utf-8-sig").replace(b"\n", b"\r\n"),
    ]  # fmt: skip


def _label_tables(_: Path) -> list[bytes]:
    table = pa.table(
        {"path": ["30_1_0_20170101.jpg", "deep/2.jpg"], "age": [31.5, None],
         "gender": pa.array(["male", "female"]).dictionary_encode(), "race": ["white", None]}
    )  # fmt: skip
    return [_as_parquet(table), _as_parquet(table, compression="none")]


def _as_parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def _faces_folder(folder: Path) -> None:
    for name, data in _members().items():
        path = folder / "faces" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _ingest(options: IngestOptions) -> None:
    listing.list_roots = lambda uri: [(uri, True)]
    ingest.in_tasks = lambda blocks, act, how: (act(block, **how) for block in blocks)
    ingest.ingest(options)


def _labels(name: str) -> Callable[[bytes, Path], None]:
    def eat(data: bytes, folder: Path) -> None:
        (folder / name).write_bytes(data)
        _ingest(IngestOptions(str(folder / "faces"), labels=str(folder / name), hash="etag"))

    return eat


def _labels_beside(data: bytes, folder: Path) -> None:
    (folder / "faces" / "30_1_0_20170101.json").write_bytes(data)
    _ingest(IngestOptions(str(folder / "faces"), label_format="sidecar", hash="etag"))


def _manifests(_: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((GOLDEN / "manifest" / "manifest").iterdir())]


def _manifest(data: bytes, folder: Path) -> None:
    path = folder / "m.parquet"
    path.write_bytes(data)
    read_manifest(str(path), ["uri", "age_years", "gender", "split"])
    for _ in open_source((), str(path)).parts():
        pass


def _inventories(_: Path) -> list[bytes]:
    files = [{"key": "data/x.parquet", "size": 100, "MD5checksum": "0"}]
    report = {"sourceBucket": "a", "destinationBucket": "arn:aws:s3:::b", "version": "2016-11-30",
              "fileFormat": "Parquet", "files": files}  # fmt: skip
    return [json.dumps(report).encode()]


def _inventory_folder(folder: Path) -> None:
    (folder / "2026-11-02T01-00Z").mkdir()
    (folder / "2026-11-02T01-00Z" / "x.parquet").write_bytes(_inventory_tables(folder)[0])


def _inventory_tables(_: Path) -> list[bytes]:
    table = pa.table(
        {"bucket": ["b", "b"], "key": ["a.jpg", "folder/"], "size": [3, 0],
         "e_tag": ['"x"', None], "is_latest": [True, None], "is_delete_marker": [False, None]}
    )  # fmt: skip
    return [_as_parquet(table)]


def _inventory(name: str) -> Callable[[bytes, Path], None]:
    def eat(data: bytes, folder: Path) -> None:
        report = folder / "2026-11-02T01-00Z"
        if name != "manifest.json":
            (report / "manifest.json").write_bytes(_inventories(folder)[0])
        (report / name).write_bytes(data)
        source = open_source((), str(report / "manifest.json"))
        source.identity()
        for _ in source.parts():
            pass

    return eat


def _lists(_: Path) -> list[bytes]:
    return [
        b"https://example.org/a.jpg\ns3://bucket/deep/b.png\n/local/c.jpg\nd.webp\n\n",
        b"id,uri\n1,https://example.org/a.jpg\n2,\"s3://bucket/x, y.jpg\"\n",
    ]  # fmt: skip


def _list(suffix: str) -> Callable[[bytes, Path], None]:
    def eat(data: bytes, folder: Path) -> None:
        path = folder / f"list{suffix}"
        path.write_bytes(data)
        listing.is_list(str(path))
        for _ in listing.list_files(str(path)):
            pass

    return eat


def _records(_: Path) -> list[bytes]:
    return [(GOLDEN / "train" / "bundle" / RECORD_FILE).read_bytes()]


def _bundle_folder(folder: Path) -> None:
    shutil.copytree(GOLDEN / "train" / "bundle", folder / "bundle")


def _record(data: bytes, folder: Path) -> None:
    """As it is, and sealed anew by somebody who knows how."""
    path = folder / "bundle" / RECORD_FILE
    path.write_bytes(data)
    try:
        read_bundle(path.parent)
    except bundles.BundleError:
        record = _object(data)
        if record is None:
            raise
        _forge(record, path)
    layers_of(read_bundle(path.parent))


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _forge(record: dict[str, Any], path: Path) -> None:
    try:
        record["bundle_id"] = bundles._identity(record)
    except (KeyError, AttributeError, TypeError):
        record["bundle_id"] = "0" * 16
    path.write_bytes(sealed(record))


def _networks(_: Path) -> list[bytes]:
    data = (GOLDEN / "train" / "bundle" / NETWORK_FILE).read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        config = archive.read("config.json")
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("config.json", config)
    return [data, sink.getvalue(), sink.getvalue()]


def _network(data: bytes, folder: Path) -> None:
    """Forged: with the hashes that it has now."""
    import hashlib

    path = folder / "bundle" / NETWORK_FILE
    path.write_bytes(data)
    record = json.loads(_records(folder)[0])
    record["files"][NETWORK_FILE] = hashlib.sha256(data).hexdigest()
    _forge(record, path.with_name(RECORD_FILE))
    opened = read_bundle(path.parent)
    bundles._refuse_code(opened)
    layers_of(opened)


def _output_folder(folder: Path) -> None:
    shutil.copytree(GOLDEN / "score", folder / "out")


def _output_file(name: str) -> Target:
    def eat(data: bytes, folder: Path) -> None:
        from pipelines.predictions.dataset import Partitioning, write_dataset
        from tests.runs import plan_of, score_options

        path = folder / "out" / name
        before = path.read_bytes()
        path.write_bytes(data)
        output = str(folder / "out")
        try:
            verify(output)
            if name == "job.json":
                options = score_options(images=(str(folder),), output=output)
                source = open_source(options.images, None)
                plan_of(options, read_bundle(GOLDEN / "train" / "bundle"), source)
            elif name.startswith("inputs/"):
                frozen = frozen_inputs.load_frozen(output)
                assert frozen is not None
                frozen.read(0)
            elif name == "run.json":
                write_dataset(output, Partitioning())
        finally:
            path.write_bytes(before)

    return Target(
        f"output {name}", lambda _: [(GOLDEN / "score" / name).read_bytes()], eat, 0.5,
        _output_folder,
    )  # fmt: skip


TARGETS = (
    Target("image", _pictures, _decode, 20),
    Target("tar", lambda _: [tar_of(_members(), "w")], _archive(".tar"), 2),
    Target("tar.gz", lambda _: [tar_of(_members())], _archive(".tar.gz"), 2),
    Target(
        "zip", lambda _: [zip_of(_members()), zip_of(_members(), zipfile.ZIP_STORED)],
        _archive(".zip"), 2,
    ),
    Target("parquet of pictures", lambda _: [parquet_of([_face(), None])], _archive(".parquet"), 2),
    Target("labels csv", _label_texts, _labels("labels.csv"), 2, _faces_folder),
    Target(
        "labels lines of json", lambda _: [b'{"file_name": "1.jpg", "age": 31, "sex": "f"}\n' * 2],
        _labels("labels.jsonl"), 1, _faces_folder,
    ),
    Target("labels parquet", _label_tables, _labels("labels.parquet"), 1, _faces_folder),
    Target(
        "labels json", lambda _: [b'{"age": 31, "gender": "male", "race": "white"}'],
        _labels_beside, 1, _faces_folder,
    ),
    Target("manifest", _manifests, _manifest, 1),
    Target("inventory json", _inventories, _inventory("manifest.json"), 1, _inventory_folder),
    Target("inventory parquet", _inventory_tables, _inventory("x.parquet"), 1, _inventory_folder),
    Target("uri list txt", _lists, _list(".txt"), 1),
    Target("uri list csv", _lists, _list(".csv"), 1),
    Target("bundle.json", _records, _record, 2, _bundle_folder),
    Target("network.keras", _networks, _network, 1, _bundle_folder),
    _output_file("job.json"),
    _output_file("run.json"),
    _output_file("inputs/frozen.json"),
    _output_file("inputs/shard-00000.parquet"),
    _output_file("predictions/shard-00000.parquet"),
)  # fmt: skip
