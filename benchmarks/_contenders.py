"""The contenders of benchmarks/scoring.py: each returns the seconds that all images took.

Start-up (imports, loading, Ray) is left out for all of them.
"""

import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).parents[1]
BUNDLE = str(ROOT / "bundles" / "facemill-utkface")
SIDE, CHANNELS = 96, 3  # of that bundle's input; it wants bilinear
BEFORE = "FACEMILL_BENCHMARK_BEFORE"  # a checkout of an earlier commit


def command_line() -> str:
    """The command line of this process, which a table names as the one that made it."""
    name = Path(sys.argv[0]).stem
    return shlex.join(["python", "-m", f"benchmarks.{name}", *sys.argv[1:]])


def is_missing(manifest: str) -> bool:
    """Whether a manifest that jobs.ingest makes is not there; says so, and no benchmark fails."""
    missing = not Path(manifest).exists() and "://" not in manifest
    if missing:
        print(f"skipped: --manifest {manifest} is missing; jobs.ingest makes it")
    return missing


def _network(precision: str = "float32", threads: int | None = None) -> Any:
    from model.bundle import load_network
    from model.runtime import import_tensorflow
    from pipelines.bundles.opening import open_bundle

    import_tensorflow(threads)
    return load_network(open_bundle(BUNDLE), precision)


def _load(path: str) -> Any:
    """As the notebook does, but uint8: scaling is the bundle's first layer."""
    import keras
    import numpy as np
    from PIL import Image

    image = keras.utils.load_img(path, color_mode="rgb")
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def notebook_one_by_one(paths: list[str], _: str) -> float:
    """Seconds for all images."""
    network = _network()
    network.predict(_load(paths[0])[None], verbose=0)
    started = time.monotonic()
    for path in paths:
        network.predict(_load(path)[None], verbose=0)
    return time.monotonic() - started


def notebook_batched(paths: list[str], _: str) -> float:
    """Seconds for all images, 1,024 at a time."""
    import numpy as np

    network = _network()
    network.predict(np.zeros((64, SIDE, SIDE, CHANNELS), np.uint8), batch_size=64, verbose=0)
    started = time.monotonic()
    for start in range(0, len(paths), 1024):
        pixels = np.stack([_load(path) for path in paths[start : start + 1024]])
        network.predict(pixels, batch_size=64, verbose=0)
    return time.monotonic() - started


def tf_data(paths: list[str], _: str) -> float:
    """Seconds for all images; TensorFlow's own decoder and filter."""
    import numpy as np
    import tensorflow as tf

    network = _network()
    network.predict(np.zeros((64, SIDE, SIDE, CHANNELS), np.uint8), batch_size=64, verbose=0)

    def load(path: Any) -> Any:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=CHANNELS)
        image = tf.image.resize(image, (SIDE, SIDE), method="bilinear", antialias=True)
        return tf.cast(tf.clip_by_value(image, 0, 255), tf.uint8)

    started = time.monotonic()
    files = tf.data.Dataset.from_tensor_slices(paths)
    network.predict(
        files.map(load, tf.data.AUTOTUNE).batch(64).prefetch(tf.data.AUTOTUNE), verbose=0
    )
    return time.monotonic() - started


class DocumentedPredictor:
    """As in Ray's guide to batch inference; it also records when it worked."""

    def __init__(self) -> None:
        """Load the network."""
        self.network = _network()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Predict a batch."""
        import numpy as np

        began = np.full(len(batch["image"]), time.time())
        outputs = self.network.predict(batch["image"], batch_size=64, verbose=0)
        times = {"began": began, "ended": np.full(len(began), time.time())}
        age = outputs["age"] @ np.arange(outputs["age"].shape[1], dtype=np.float32)
        return {"path": batch["path"], **times, "gender": outputs["gender"][:, 0], "age": age}


def documented_preprocess(batch: dict[str, Any]) -> dict[str, Any]:
    """Resize a batch."""
    import numpy as np
    from PIL import Image

    filtered = Image.Resampling.BILINEAR
    resized = [
        np.asarray(Image.fromarray(i).resize((SIDE, SIDE), filtered)) for i in batch["image"]
    ]
    return {"path": batch["path"], "image": np.stack(resized)}


def ray_data(paths: list[str], folder: str) -> float:
    """Seconds from the first batch's beginning to the last one's end."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    import ray

    from pipelines.cluster.session import quiet_libraries, start_ray

    quiet_libraries()
    start_ray()
    output = os.path.join(folder, "out")
    predict: Any = DocumentedPredictor
    actors = ray.data.ActorPoolStrategy(size=max(1, (os.cpu_count() or 1) - 1))
    (
        ray.data.read_images(paths, mode="RGB", include_paths=True)
        .map_batches(documented_preprocess, batch_size=64)
        .map_batches(predict, batch_size=64, num_cpus=1, compute=actors)
        .write_parquet(output)
    )
    times = pq.read_table(output, columns=["began", "ended"])
    return pc.max(times["ended"]).as_py() - pc.min(times["began"]).as_py()


def facemill(precision: str, before: bool = False) -> Callable[[list[str], str], float]:
    """A contender: jobs.score; seconds after its start-up, which is printed beside them.

    Args:
        precision: asked for.
        before: of the checkout that the variable `BEFORE` names, with its own copy of the network.
    """

    def score(paths: list[str], folder: str) -> float:
        images = _linked(paths, folder)
        output = os.path.join(folder, "out")
        root = Path(os.environ[BEFORE]) if before else ROOT
        bundle = str(root / "bundles" / Path(BUNDLE).name)
        command = [sys.executable, "-m", "jobs.score", "--images", images, "--bundle", bundle,
                   "--output", output, "--precision", precision, "--faces", "crop"]  # fmt: skip
        started = time.monotonic()
        subprocess.run(command, check=True, cwd=root, stdout=subprocess.DEVNULL)
        total_s = time.monotonic() - started
        run = json.loads(Path(output, "run.json").read_text())
        seconds = len(paths) / run["images_per_s"]
        # All but scoring, from the first import to the end of the process.
        print(json.dumps({"start_up_s": total_s - seconds, "until_first_s": run["start_up_s"]}))
        return seconds

    return score


def _linked(paths: list[str], folder: str) -> str:
    images = os.path.join(folder, "images")
    os.mkdir(images)
    for path in paths:
        os.symlink(path, os.path.join(images, os.path.basename(path)))
    return images


def bound(precision: str) -> Callable[[list[str], str], float]:
    """A contender: each core decodes its share, then puts it through the network; no reading.

    The network takes the images in batches of several sizes, and the fastest counts.
    """

    def measure(paths: list[str], _: str) -> float:
        cores = os.cpu_count() or 1
        code = f"from benchmarks._contenders import one_core; one_core({precision!r})"
        children = [
            subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in range(cores)
        ]  # fmt: skip
        for number, child in enumerate(children):
            assert child.stdin is not None
            child.stdin.write(json.dumps(paths[number::cores]) + "\n")
            child.stdin.close()
        each = [json.loads(child.stdout.read()) for child in children if child.stdout]
        for child in children:
            child.wait()
        mean = {name: statistics.fmean(one[name] for one in each) for name in each[0]}
        network_s = min(mean[f"batch_{size}_s"] for size in BATCHES)
        print(json.dumps({**mean, "network_s": network_s}))
        return len(paths) / (cores / (mean["decode_s"] + network_s))

    return measure


def one_core(precision: Literal["float32", "bfloat16", "int8"]) -> None:
    """Print the seconds that decoding and the network take an image, on one thread."""
    import numpy as np

    from model.engines.choosing import abilities, choose
    from model.predictor import Predictor
    from model.preprocessing import decode_image
    from pipelines.bundles.opening import open_bundle

    bundle = open_bundle(BUNDLE)
    paths = json.loads(sys.stdin.readline())
    predictors: list[Any] = [
        Predictor(bundle, choose("auto", precision, bundle, abilities()), size, threads=1)
        for size in BATCHES
    ]
    files = [Path(path).read_bytes() for path in paths]
    started = time.monotonic()
    pixels = np.stack([decode_image(data, bundle.input).pixels for data in files])
    count = len(paths)
    times = {"decode_s": (time.monotonic() - started) / count}
    for size, predictor in zip(BATCHES, predictors, strict=True):
        started = time.monotonic()
        predictor.predict(pixels)
        times[f"batch_{size}_s"] = (time.monotonic() - started) / count
    print(json.dumps(times))


BATCHES = (32, 64, 128, 256)
CONTENDERS: dict[str, Callable[[list[str], str], float]] = {
    "a1": notebook_one_by_one,
    "a2": notebook_batched,
    "b": tf_data,
    "c": ray_data,
    "before": facemill("bfloat16", before=True),
    "d-bfloat16": facemill("bfloat16"),
    "d-int8": facemill("int8"),
    "e-bfloat16": bound("bfloat16"),
    "e-int8": bound("int8"),
}
