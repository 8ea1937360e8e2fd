"""The jobs that leave state, each as a small case: what is there before, the command, the proof."""

import contextlib
import dataclasses
import functools
import importlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from demo.drawn_faces import draw_faces
from jobs import cli
from model.bundle import Bundle, read_bundle
from model.errors import FacemillError, UsageError
from pipelines import configuration
from pipelines.storage import tables
from pipelines.training.options import TrainOptions

GOLDEN = Path(__file__).parents[2] / "golden" / "0.1.0"
BUNDLE = GOLDEN / "train" / "bundle"
_FACES = 18
SHARD_ROWS = [5]  # of the scoring jobs; fewer shards are fewer writes
# What differs from run to run by its meaning: times and speeds.
_TIMES = ("seconds", "finished_at", "start_up_s", "images_per_s", "run_finished_at", "made_at")


@dataclasses.dataclass(frozen=True)
class Case:
    """A job.

    Attributes:
        name: of the job.
        act: the command, given the place of the inputs and the output.
        before: makes what is there before it, likewise.
        proof: raises if the finished output is not whole.
        says_done: what the command says, as a user's error, of an output that it has finished.
    """

    name: str
    act: Callable[[Path, str], None]
    before: Callable[[Path, str], None] = lambda place, output: None
    proof: Callable[[str], None] = lambda output: None
    says_done: str = ""


def golden_bundle() -> Bundle:
    """A small bundle of 0.1.0."""
    return read_bundle(BUNDLE)


def prepare_inputs(place: Path) -> None:
    """Make the pictures, a grown copy of their folder, and a manifest."""
    draw_faces(place / "faces", count=_FACES, seed=3, broken=2)
    (place / "faces" / "notes.txt").write_text("no picture")
    shutil.copytree(place / "faces", place / "now")
    draw_faces(place / "more", count=5, seed=4, broken=0)
    shares = ("--split", "0.5,0.25,0.25")
    main("ingest", "--images", str(place / "faces"), "--output", str(place / "manifest"), *shares)
    for path in (place / "now").iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))


@functools.cache
def parsed(kind: Any, program: str, text: str, argv: tuple[str, ...]) -> Any:
    """Options of a command line; a tenth of a second, so once for all children."""
    return _PARSE(kind, program, text, list(argv))


_PARSE = cli.parse


def main(module: str, *argv: str) -> None:
    """The command `python -m jobs.MODULE`, in this process."""
    cli.parse = lambda kind, program, text, argv: parsed(kind, program, text, tuple(argv or ()))
    importlib.import_module(f"jobs.{module}").main(list(argv))


def as_a_job(act: Callable[[], Any]) -> None:
    """Exit as jobs/cli.py does."""
    try:
        act()
    except UsageError as error:
        print(f"error: {error}")
        raise SystemExit(2) from None
    except FacemillError as error:
        print(f"failed: {error}")
        raise SystemExit(1) from None


@contextlib.contextmanager
def only_parsing() -> Iterator[None]:
    """Commands are parsed meanwhile, and not run."""

    def run(kind: Any, job: Any, argv: Any) -> None:
        module = sys.modules[job.__module__]
        parsed(kind, module.__name__, module.__doc__ or "", tuple(argv))

    global as_a_job
    real, cli.run = cli.run, run
    real_job, as_a_job = as_a_job, lambda act: None
    try:
        yield
    finally:
        cli.run, as_a_job = real, real_job


def ingest(place: Path, output: str) -> None:
    main("ingest", "--images", str(place / "faces"), "--output", output)


def _ingest_grown(place: Path, output: str) -> None:
    main("ingest", "--images", str(place / "now"), "--output", output)


def score(place: Path, output: str, *more: str) -> None:
    main(
        "score", "--images", str(place / "now"), "--bundle", str(BUNDLE), "--output", output,
        "--faces", "crop", "--shard-rows", str(SHARD_ROWS[0]), "--compute", "float32", *more,
    )  # fmt: skip


def _calibrate(place: Path, output: str) -> None:
    main(
        "calibrate", "--bundle", str(BUNDLE), "--manifest", str(place / "manifest"),
        "--output", output, "--other-manifest",
    )  # fmt: skip


def _export(place: Path, output: str) -> None:
    main("export", "--bundle", str(BUNDLE), "--output", output)


def _train(place: Path, output: str) -> None:
    """The driver's part; `jobs.train` itself asks a cluster how much room it has."""
    from pipelines.training import job, run
    from tests.robustness.crash_points.in_process import tiny_recipe

    options = configuration.build(
        TrainOptions, manifest=str(place / "manifest"), output=output, preset="demo"
    )
    as_a_job(lambda: run.train(job.prepare(options, tiny_recipe()), cpus=1))


def _card(place: Path, output: str) -> None:
    main("report", "--bundle", output, "--card", "--output", output)


def _copied_bundle(place: Path, output: str) -> None:
    from pipelines.bundles.opening import copy_bundle

    copy_bundle(golden_bundle(), output)


def _finished(place: Path, output: str) -> None:
    score(place, output, "--partition-by", "none")


def _grown(place: Path, output: str) -> None:
    """A finished run; then pictures came, one changed, one went."""
    _finished(place, output)
    _grow(place)


def _grow(place: Path) -> None:
    names = sorted(path.name for path in (place / "now").glob("*.jpg"))
    for path in sorted((place / "more").glob("*.jpg")):
        shutil.copy(path, place / "now" / f"new-{path.name}")
    shutil.copy(place / "now" / names[-1], place / "now" / names[0])
    (place / "now" / names[3]).unlink()
    for path in (place / "now").iterdir():
        if path.name.startswith("new-") or path.name == names[0]:
            os.utime(path, (1_700_000_500, 1_700_000_500))


def _grown_manifest(place: Path, output: str) -> None:
    _ingest_grown(place, output)
    _grow(place)


def _repaired(place: Path, output: str) -> None:
    """A finished run; then the pictures that had failed were put right."""
    _finished(place, output)
    whole = next(iter(sorted((place / "faces").glob("*.jpg"))))
    for file in tables.list_parquet(f"{output}/quarantine"):
        for uri in tables.read_table(file)["uri"].to_pylist():
            if uri.endswith(".jpg"):
                shutil.copy(whole, uri)


def whole_run(output: str) -> None:
    """Raise unless `jobs.verify` finds a scoring run whole."""
    from pipelines.predictions.verification import verify

    problems = verify(output).problems
    assert not problems, problems


def whole_bundle(output: str) -> None:
    """Raise unless a bundle opens."""
    from pipelines.bundles.opening import open_bundle

    open_bundle(output)


def _whole_training(output: str) -> None:
    whole_bundle(f"{output}/bundle")


def _whole_version(output: str) -> None:
    whole_run(output)
    whole_run(f"{output}/v2")


def _whole_data_set(output: str) -> None:
    whole_run(output)
    record = tables.read_json(f"{output}/dataset.json")
    rows = sum(tables.read_table(f"{output}/{name}").num_rows for name in record["files"])
    assert rows == record["rows"], (rows, record["rows"])


def _scored_separately(place: Path, output: str) -> None:
    os.environ["FACEMILL_TEST_SEPARATE"] = "1"
    score(place, output)


def _new_version(place: Path, output: str) -> None:
    score(place, output, "--tta", "2", "--on-existing", "new")


CASES = (
    Case("ingest", ingest),
    Case("ingest, refreshed", _ingest_grown, _grown_manifest),
    Case("score", score, proof=whole_run),
    Case("score, decoding apart", _scored_separately, proof=whole_run),
    Case("score --partition-by none", _finished, proof=_whole_data_set),
    Case(
        "score --partition-by", lambda p, o: score(p, o, "--partition-by", "gender"), _finished,
        whole_run,
    ),
    Case("score update", lambda p, o: score(p, o, "--on-existing", "update"), _grown, whole_run),
    Case(
        "score mirror",
        lambda p, o: score(p, o, "--on-existing", "mirror", "--partition-by", "none"), _grown,
        _whole_data_set,
    ),
    Case(
        "score retry", lambda p, o: score(p, o, "--on-existing", "retry"), _repaired,
        whole_run,
    ),
    Case("score new", _new_version, _finished, _whole_version),
    Case("calibrate", _calibrate, proof=whole_bundle, says_done="holds a bundle already"),
    Case("export", _export, says_done="holds an export already"),
    Case("train, the driver", _train, proof=_whole_training),
    Case("report --card", _card, _copied_bundle, whole_bundle),
)  # fmt: skip


def comparable(name: str, data: bytes) -> bytes:
    """The bytes of a file, less times and speeds."""
    if name.endswith(".json"):
        record = json.loads(data)
        if isinstance(record, dict):
            return json.dumps({k: v for k, v in record.items() if k not in _TIMES}).encode()
    return data


def is_leftover(name: str) -> bool:
    """Whether a file is what a death may leave: hidden, and no reader's."""
    last = name.rsplit("/", 1)[-1]
    return bool(re.fullmatch(r"\.[0-9a-f]{32}\.tmp|\.facemill-probe", last))
