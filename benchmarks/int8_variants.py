"""Ways to quantize the shipped network: `python -m benchmarks.int8_variants --manifest URI`.

Each way makes an int8 network on pictures of train, which answers val and test; its answers are
compared with float32's, picture by picture, after the gender was calibrated anew on val. Writes
docs/benchmarks/int8-variants.md; ten minutes. Decision 011 says what was chosen.
"""

import argparse
import dataclasses
import datetime
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._contenders import ROOT, command_line, is_missing
from benchmarks.engines import pixels_of
from model import calibration
from model.bundle import FLOAT_FILES, INT8_FILES, Bundle, load_network
from model.engines.choosing import INT8, REFERENCE, Compute
from model.engines.gate import compare
from model.engines.making import PICTURES, write_float
from model.predictor import Predictor
from model.runtime import captured, import_openvino, import_tensorflow, machine
from pipelines.bundles.opening import open_bundle

DOCUMENT = ROOT / "docs" / "benchmarks" / "int8-variants.md"


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to quantize."""

    told: str
    pictures: int = PICTURES
    fast_bias: bool = False
    overflow_fix: bool = False
    first_in_float: bool = False


VARIANTS = (
    Variant("all layers"),
    Variant("all layers, on 1,500 pictures", pictures=1500),
    Variant("all layers, fast bias correction", fast_bias=True),
    Variant("all layers, overflow fix (7 bits in the first layer)", overflow_fix=True),
    Variant("first layer in float32, as bundles have it", first_in_float=True),
)


def quantized(folder: Path, pixels: Any, variant: Variant) -> None:
    """Write the int8 network of `folder` anew."""
    openvino = import_openvino()
    import nncf

    network = openvino.Core().read_model(folder / FLOAT_FILES[0])
    kinds = ("Convolution", "MatMul")
    first = next(op for op in network.get_ordered_ops() if op.get_type_name() in kinds)
    fix = nncf.OverflowFix.FIRST_LAYER if variant.overflow_fix else nncf.OverflowFix.DISABLE
    ignored = [first.get_friendly_name()] if variant.first_in_float else []
    with captured(1), captured(2):
        made: Any = nncf.quantize(
            network,
            nncf.Dataset([pixels[i : i + 1] for i in range(len(pixels))]),
            preset=nncf.QuantizationPreset.PERFORMANCE,
            subset_size=len(pixels),
            fast_bias_correction=variant.fast_bias,
            ignored_scope=nncf.IgnoredScope(names=ignored),
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=fix),
        )
    openvino.save_model(made, folder / INT8_FILES[0], compress_to_fp16=False)


def rate(bundle: Bundle, way: Compute, pixels: Any) -> float:
    """Images/s of the network alone, one thread, median of five."""
    predictor, rates = Predictor(bundle, way, 64, threads=1), list[float]()
    for _ in range(5):
        began = time.process_time()
        predictor.predict(pixels[:512])
        rates.append(512 / (time.process_time() - began))
    return statistics.median(rates)


def row(told: str, bundle: Bundle, way: Compute, splits: Any, wanted: Any) -> str:
    """A line of the table."""
    said = {name: Predictor(bundle, way).predict(part[0]) for name, part in splits.items()}
    _, ages, genders = splits["val"]
    fitted = calibration.fit(said["val"], ages, genders)["gender"]
    cells = [f"{rate(bundle, way, splits['val'][0]):,.0f}"]
    for name, (_, age, female) in splits.items():
        columns = {
            "age_years": said[name]["age_years"],
            "p_female": calibration.with_gender(said[name]["p_female"], fitted),
        }
        change = compare(wanted[name], columns, age, female)
        cells.append(
            f"{change['age_mae']['value']:+.3f}, {100 * change['gender_accuracy']['value']:+.2f}"
        )
    moved = np.abs(said["test"]["age_years"] - wanted["test"]["age_years"]).mean()
    return f"| {told} | {' | '.join(cells)} | {moved:.2f} |"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", default=str(ROOT / "runs" / "both"))
    arguments = parser.parse_args()
    if is_missing(arguments.manifest):
        return
    bundle = open_bundle(None)
    splits = pixels_of(arguments.manifest, bundle, ("train", "val", "test"))
    shown = splits.pop("train")[0]
    fitted = bundle.calibration_in("float32")["gender"]
    wanted = {}
    for name, (pixels, _, _) in splits.items():
        raw = Predictor(bundle, REFERENCE).predict(pixels)
        female = calibration.with_gender(raw["p_female"], fitted)
        wanted[name] = {"age_years": raw["age_years"], "p_female": female}
    lines = list[str]()
    with tempfile.TemporaryDirectory() as place:
        import_tensorflow()
        write_float(load_network(bundle), Path(place))
        here = dataclasses.replace(bundle, folder=Path(place))
        for variant in VARIANTS:
            sample = shown[:: max(1, len(shown) // variant.pictures)][: variant.pictures]
            quantized(Path(place), sample, variant)
            lines.append(row(variant.told, here, INT8, splits, wanted))
            print(lines[-1], flush=True)
        bfloat16 = Compute("openvino", "bfloat16")
        lines.append(row("bfloat16, for comparison", here, bfloat16, splits, wanted))
    count = {name: len(part[1]) for name, part in splits.items()}
    text = [
        "# Ways to quantize",
        "",
        f"`{command_line()}`, bundle {bundle.name} ({bundle.id}), "
        f"{datetime.datetime.now(datetime.UTC).date()}, {machine()}, load at the end "
        f"{os.getloadavg()[0]:.1f}. Change against float32 on {count['val']:,} val and "
        f"{count['test']:,} test pictures; mean absolute change of the age on test.",
        "",
        "| | images/s | val: years, points | test: years, points | age moved, years |",
        "|---|---:|---:|---:|---:|",
        *lines,
    ]
    DOCUMENT.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
