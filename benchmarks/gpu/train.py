"""Train the folds' networks and the final one on one GPU: Keras on JAX, the same `model/` code.

    python3 -m benchmarks.gpu.train decode --packed .gpu --pixels /tmp/pixels
    python3 -m benchmarks.gpu.train probe --packed .gpu
    python3 -m benchmarks.gpu.train train --pixels /tmp/pixels --output out

`decode` makes pixels of what `benchmarks.gpu.pack` packed, `probe` times both networks on random
ones. Each training (fold-0, …, final) first trains its teachers, larger networks that see larger
pictures, then the network itself: half label, half what the teachers say of the same augmented
picture (function matching, Beyer 2022). None of them sees an image of its fold.
`benchmarks.gpu.unpack` makes of the weights what `jobs.train --start-from` takes.

It needs Keras 3, JAX, PyArrow, pandas, Pillow and simplejpeg; neither Ray nor TensorFlow.
"""

import argparse
import dataclasses
import functools
import json
import os
import time
import uuid
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from model.faces.crops import crops_of
from model.presets import preset
from model.recipes import Recipe, Residual

STUDENT = "facemill-photo"
TRAININGS = ("fold-0", "fold-1", "fold-2", "final")
_TOLD = (
    "teachers", "teacher_width", "teacher_side", "teacher_epochs", "epochs", "batch",
    "learning_rate",
)  # fmt: skip
_LABELS = {"age": "age_years", "gender": "gender", "race": "race"}


def student_recipe(given: argparse.Namespace) -> Recipe:
    """The shipped network's, with the learning rate of larger batches."""
    base = preset(STUDENT)
    optimizer = dataclasses.replace(base.optimizer, learning_rate=given.learning_rate)
    return dataclasses.replace(base, optimizer=optimizer, sides=())


def teacher_recipe(given: argparse.Namespace) -> Recipe:
    """A wider network on larger pictures, which are never blurred: see `augment_for_teachers`."""
    base, width, side = student_recipe(given), given.teacher_width, given.teacher_side
    sharp = dataclasses.replace(base.augmentation, blur=0.0, shrink=0.0, noise=0.0)
    network = Residual(width, (2 * width, 4 * width, 8 * width), (2, 2, 2), dropout=0.4)
    spec = dataclasses.replace(base.input, height=side, width=side)
    return dataclasses.replace(base, input=spec, network=network, augmentation=sharp)


def decode(given: argparse.Namespace) -> None:
    """Decode all rows at both sides into arrays of uint8 (rows, side, side, 3)."""
    packed, rows = str(given.packed), pq.read_table(given.packed / "rows.parquet")
    given.pixels.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, given.pixels / "rows.parquet")
    columns = [rows[name].to_pylist() for name in ("part", "offset", "bytes", "face_landmarks")]
    for recipe in (student_recipe(given), teacher_recipe(given)):
        began = time.monotonic()
        one = functools.partial(_decoded, packed, recipe.input)
        with ProcessPoolExecutor() as pool:
            pixels = np.stack(list(pool.map(one, zip(*columns, strict=True), chunksize=200)))
        side = recipe.input.height
        np.save(given.pixels / f"{side}.npy", pixels)
        print(f"{len(pixels):,} rows at {side}: {time.monotonic() - began:.1f} s", flush=True)


@functools.cache
def _images(packed: str, part: int) -> Any:
    return np.memmap(Path(packed) / f"images-{part}.bin", np.uint8, "r")


def _decoded(packed: str, spec: Any, entry: tuple[int, int, int, Any]) -> Any:
    part, offset, length, points = entry
    data = _images(packed, part)[offset : offset + length].tobytes()
    return crops_of(data, spec, tuple(points) if points else None).pixels[0]


class _Data:
    """Rows, pixels on the GPU, and what belongs together."""

    def __init__(self, given: argparse.Namespace) -> None:
        import jax.numpy as jnp

        self.rows = pq.read_table((given.pixels or given.packed) / "rows.parquet").to_pandas()
        self.found = self.rows["face_landmarks"].notna().to_numpy()
        files = self.rows.groupby(["part", "offset"], sort=False)
        self.pictures = files.ngroup().to_numpy()
        self.pixels = dict[int, Any]()
        for side in (student_recipe(given).input.height, given.teacher_side):
            if given.pixels:
                pixels = np.load(given.pixels / f"{side}.npy")
            else:  # to be timed with, nothing else
                shape = (len(self.rows), side, side, 3)
                pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
            self.pixels[side] = jnp.asarray(pixels)

    def of(self, name: str) -> tuple[dict[str, Any], Any, Any]:
        """Targets of all rows, the rows that a training learns, and those it is measured on."""
        import jax.numpy as jnp

        targets = {
            head: jnp.asarray(self.rows[f"{name}_{label}"].to_numpy(np.float32)[:, None])
            for head, label in _LABELS.items()
        }
        split = self.rows[f"{name}_split"].to_numpy()
        known = ~np.isnan(np.asarray(targets["age"])[:, 0])
        return targets, np.flatnonzero((split == "train") & known), np.flatnonzero(split == "test")


def _fits(given: argparse.Namespace, data: _Data) -> tuple[Any, Any]:
    """Compiled steps of the teachers and of the student."""
    from benchmarks.gpu.fit import Fit

    teacher = Fit(teacher_recipe(given), data.pixels, given.batch)
    student = Fit(student_recipe(given), data.pixels, given.batch, teacher)
    return teacher, student


def train(given: argparse.Namespace) -> None:
    """All trainings, each one's weights written as soon as they are there."""
    import jax

    data = _Data(given)
    teacher, student = _fits(given, data)
    given.output.mkdir(parents=True, exist_ok=True)
    device = jax.devices()[0].device_kind
    record: dict[str, Any] = {
        "run_id": uuid.uuid4().hex[:12], "device": device,
        "options": {name: getattr(given, name) for name in _TOLD},
    }  # fmt: skip
    for number, name in enumerate(TRAININGS):
        if name not in given.only:
            continue
        labels, learned, measured = data.of(name)
        scores, told = dict[str, Any](), list[Any]()
        began = time.monotonic()
        plan = [(f"teacher {i}", teacher, given.teacher_epochs, i) for i in range(given.teachers)]
        for title, fit, epochs, which in [*plan, ("student", student, given.epochs, None)]:
            seed = number if which is None else 100 + 10 * number + which
            whole = f"{name} {title}"
            weights = fit.train(
                whole, learned, data.pictures, labels, epochs, seed,
                () if which is not None else told,
            )  # fmt: skip
            told.append(weights)
            if len(measured):
                scores[title] = fit.measure(whole, weights, measured, labels, data.found)
        arrays: dict[str, Any] = {f"{i:04d}": v for i, v in enumerate(student.arrays(told[-1]))}
        np.savez(given.output / f"{name}.npz", **arrays)
        seconds = round(time.monotonic() - began, 1)
        record[name] = {"seconds": seconds, "learned": len(learned), **scores}
        (given.output / "record.json").write_text(json.dumps(record, indent=1))


def probe(given: argparse.Namespace) -> None:
    """Seconds to compile, and images a second, of teachers and student."""
    from benchmarks.gpu.fit import CHUNK

    data = _Data(given)
    labels, learned, _ = data.of("fold-0")
    told: list[Any] = []
    for fit in _fits(given, data):
        for chunks in (1, 3):
            epochs = chunks * CHUNK * given.batch / len(np.unique(data.pictures[learned]))
            weights = fit.train("probe", learned, data.pictures, labels, epochs, 0, told)
        told = [weights] * given.teachers


def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=("decode", "probe", "train"))
    parser.add_argument("--packed", type=Path, help="folder of benchmarks.gpu.pack")
    parser.add_argument("--pixels", type=Path, help="folder of decoded rows")
    parser.add_argument("--output", type=Path, help="folder for weights and record.json")
    parser.add_argument("--teachers", type=int, default=2)
    parser.add_argument("--teacher-width", type=int, default=48, help="channels of its stem")
    parser.add_argument("--teacher-side", type=int, default=128, help="pixels")
    parser.add_argument("--teacher-epochs", type=float, default=50)
    parser.add_argument("--epochs", type=float, default=95)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=2.8e-3)
    parser.add_argument("--only", nargs="+", choices=TRAININGS, default=TRAININGS)
    given = parser.parse_args()
    os.environ.setdefault("KERAS_BACKEND", "jax")
    {"decode": decode, "probe": probe, "train": train}[given.what](given)


if __name__ == "__main__":
    main()
