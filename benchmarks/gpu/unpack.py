"""Make of the weights that `benchmarks.gpu.train` leaves what `jobs.train --start-from` takes.

    python -m benchmarks.gpu.unpack --packed .gpu --weights out --output runs/gpu

Then `jobs.train --preset facemill-photo --folds 3 --final --start-from runs/gpu …` begins each
fold, and the final network, with its own. record.json says how they were trained.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from model.bundle import write_bundle
from model.networks import build_network, folded
from model.presets import preset
from pipelines.training import layout
from pipelines.training.checkpoints import packed

STUDENT = "facemill-photo"


def unpack(packed_in: Path, weights: Path, output: Path) -> None:
    """A training's folder for each .npz: weights.npz, and a bundle that says what it is."""
    recipe = preset(STUDENT)
    record = json.loads((weights / "record.json").read_text())
    seen = json.loads((packed_in / "seen.json").read_text())
    for file in sorted(weights.glob("*.npz")):
        with np.load(file) as found:
            arrays = [found[name] for name in sorted(found.files)]
        network = build_network(recipe.network, recipe.input.shape, recipe.heads)
        network.set_weights(arrays)
        place = output / file.stem
        training = {
            "run_id": record["run_id"], "machine": f"{record['device']}, JAX",
            "command": command(record["options"]), **record[file.stem],
        }  # fmt: skip
        write_bundle(
            place / layout.BUNDLE, folded(network, recipe.network, recipe.kept_heads),
            name=recipe.name, input_spec=recipe.input, heads=recipe.kept_heads,
            details={
                "recipe": recipe.to_json(), "training": training, "metrics": {},
                "seen": seen[file.stem],
            },
        )  # fmt: skip
        (place / layout.WEIGHTS).write_bytes(packed([np.asarray(v) for v in network.get_weights()]))
        print(place)


def command(options: Mapping[str, Any]) -> str:
    """What was typed there, but for the folders."""
    told = [f"--{name.replace('_', '-')} {value:g}" for name, value in options.items()]
    return " ".join(["python -m benchmarks.gpu.train train", *told])


def main() -> None:
    """Unpack what the arguments name."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--packed", type=Path, required=True, help="of benchmarks.gpu.pack")
    parser.add_argument("--weights", type=Path, required=True, help="of benchmarks.gpu.train")
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    unpack(given.packed, given.weights, given.output)


if __name__ == "__main__":
    main()
