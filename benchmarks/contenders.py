"""The contenders of benchmarks/scoring.py: each returns the seconds that all images took.

Start-up (imports, loading, Ray) is left out for all of them.
"""

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import harness

SIDE, CHANNELS = 96, 3  # of the shipped bundle's input; it wants bilinear
BATCHES = (32, 64, 128, 256)
Contender = Callable[[list[str], Path], tuple[float, dict[str, float]]]


def run(name: str, paths: list[str], folder: Path, before: str) -> tuple[float, dict[str, float]]:
    """Seconds that a contender takes, and what else it measured.

    Args:
        name: of the contender, as benchmarks/scoring.py lists them.
        paths: of the images.
        folder: empty, for what it writes.
        before: another checkout.
    """
    ways: dict[str, Contender] = {
        "a1": notebook_one_by_one,
        "a2": notebook_batched,
        "b": tf_data,
        "c": ray_data,
        "before": facemill("int8", root=Path(before)),
        "d-bfloat16": facemill("bfloat16"),
        "d-int8": facemill("int8"),
        "d-int8-1": facemill("int8", workers=1),
        "e-bfloat16": bound("bfloat16"),
        "e-int8": bound("int8"),
    }
    return ways[name](paths, folder)


def _network() -> Any:
    from model.bundle import load_network
    from model.runtime import import_tensorflow
    from pipelines.bundles.opening import open_bundle

    import_tensorflow()
    return load_network(open_bundle(harness.BUNDLE), "float32")


def _load(path: str) -> Any:
    """As the notebook does, but uint8: scaling is the bundle's first layer."""
    import keras
    import numpy as np
    from PIL import Image

    image = keras.utils.load_img(path, color_mode="rgb")
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def notebook_one_by_one(paths: list[str], _: Path) -> tuple[float, dict[str, float]]:
    """One image after the other."""
    network = _network()
    network.predict(_load(paths[0])[None], verbose=0)

    def act() -> None:
        for path in paths:
            network.predict(_load(path)[None], verbose=0)

    return harness.seconds(act), {}


def _warm() -> Any:
    """The network, which has predicted a batch."""
    import numpy as np

    network = _network()
    network.predict(np.zeros((64, SIDE, SIDE, CHANNELS), np.uint8), batch_size=64, verbose=0)
    return network


def notebook_batched(paths: list[str], _: Path) -> tuple[float, dict[str, float]]:
    """1,024 images at a time."""
    import numpy as np

    network = _warm()

    def act() -> None:
        for start in range(0, len(paths), 1024):
            pixels = np.stack([_load(path) for path in paths[start : start + 1024]])
            network.predict(pixels, batch_size=64, verbose=0)

    return harness.seconds(act), {}


def tf_data(paths: list[str], _: Path) -> tuple[float, dict[str, float]]:
    """TensorFlow's own decoder and filter."""
    import tensorflow as tf

    network = _warm()

    def load(path: Any) -> Any:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=CHANNELS)
        image = tf.image.resize(image, (SIDE, SIDE), method="bilinear", antialias=True)
        return tf.cast(tf.clip_by_value(image, 0, 255), tf.uint8)

    def act() -> None:
        files = tf.data.Dataset.from_tensor_slices(paths).map(load, tf.data.AUTOTUNE)
        network.predict(files.batch(64).prefetch(tf.data.AUTOTUNE), verbose=0)

    return harness.seconds(act), {}


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


def ray_data(paths: list[str], folder: Path) -> tuple[float, dict[str, float]]:
    """From the first batch's beginning to the last one's end."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    import ray

    from pipelines.cluster.session import quiet_libraries, start_ray

    quiet_libraries()
    start_ray()
    output = str(folder / "out")
    predict: Any = DocumentedPredictor
    actors = ray.data.ActorPoolStrategy(size=max(1, (os.cpu_count() or 1) - 1))
    (
        ray.data.read_images(paths, mode="RGB", include_paths=True)
        .map_batches(documented_preprocess, batch_size=64)
        .map_batches(predict, batch_size=64, num_cpus=1, compute=actors)
        .write_parquet(output)
    )
    times = pq.read_table(output, columns=["began", "ended"])
    return pc.max(times["ended"]).as_py() - pc.min(times["began"]).as_py(), {}


def facemill(precision: str, workers: int | None = None, root: Path = harness.ROOT) -> Contender:
    """A contender: jobs.score of a checkout, with that checkout's copy of the network."""

    def score(paths: list[str], folder: Path) -> tuple[float, dict[str, float]]:
        images, output = folder / "images", folder / "out"
        images.mkdir()
        for path in paths:
            (images / os.path.basename(path)).symlink_to(path)
        words = ["--images", images, "--bundle", root / "bundles" / Path(harness.BUNDLE).name,
                 "--output", output, "--compute", precision, "--faces", "crop",
                 *(["--workers", workers] if workers else [])]  # fmt: skip
        total_s = harness.seconds(lambda: harness.run("jobs.score", *words, root=root))
        record = json.loads((output / "run.json").read_text())
        seconds = len(paths) / record["images_per_s"]
        # All but scoring, from the first import to the end of the process.
        return seconds, {"start_up_s": total_s - seconds, "until_first_s": record["start_up_s"]}

    return score


def bound(precision: str) -> Contender:
    """A contender: each core decodes its share, then puts it through the network; no reading.

    The network takes the images in batches of several sizes, and the fastest counts.
    """

    def measure(paths: list[str], _: Path) -> tuple[float, dict[str, float]]:
        cores = os.cpu_count() or 1
        code = f"from benchmarks.contenders import one_core; one_core({precision!r})"
        children = [
            subprocess.Popen([sys.executable, "-c", code], cwd=harness.ROOT, text=True,
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
        mean = {name: sum(one[name] for one in each) / len(each) for name in each[0]}
        network_s = min(mean[f"batch_{size}_s"] for size in BATCHES)
        return len(paths) * (mean["decode_s"] + network_s) / cores, mean

    return measure


def one_core(precision: Any) -> None:
    """Print the seconds that decoding and the network take an image, on one thread."""
    import numpy as np

    from model.backends.selection import abilities, choose
    from model.predictor import Predictor
    from model.preprocessing import decode_image
    from pipelines.bundles.opening import open_bundle

    bundle = open_bundle(harness.BUNDLE)
    files = [Path(path).read_bytes() for path in json.loads(sys.stdin.readline())]
    predictors = {
        size: Predictor(bundle, choose("auto", precision, bundle, abilities()), size, threads=1)
        for size in BATCHES
    }
    decoded: list[Any] = []
    decode_s = harness.seconds(
        lambda: decoded.extend(decode_image(data, bundle.input).pixels for data in files)
    )
    pixels = np.stack(decoded)
    times = {"decode_s": decode_s / len(files)}
    for size, predictor in predictors.items():
        act = functools.partial(predictor.predict, pixels)
        times[f"batch_{size}_s"] = harness.seconds(act) / len(files)
    print(json.dumps(times))
