"""What preprocessing costs, and what it does to the answers: `python -m benchmarks.decoding`.

One core decodes the same files to each input in turns; the same network then reads each of them,
on val. Writes docs/benchmarks/decoding.md.
"""

import argparse
import dataclasses
import datetime
import io
import os
import statistics
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks._contenders import ROOT, command_line, is_missing
from benchmarks.networks import predictions
from jobs.cli import quiet_libraries
from model import metrics
from model.preprocessing import InputSpec, decode_image
from model.presets import preset
from model.runtime import machine
from pipelines import storage
from pipelines.bundles.opening import open_bundle
from pipelines.images.drawn_faces import draw_face
from pipelines.manifests import manifest

DOCUMENT = ROOT / "docs" / "benchmarks" / "decoding.md"
OURS = preset("facemill").input
SPECS = {
    "seed-final": preset("seed-final").input,
    "facemill until 2026-11-25": InputSpec(96, 96, "rgb"),
    "the JPEG decoder shrinks first": dataclasses.replace(OURS, resample="lanczos"),
    "bilinear filter": dataclasses.replace(OURS, jpeg_oversample=4),
    "**facemill**: both": OURS,
}
PHOTO_SIZE, PHOTO_TURNS = (4000, 3000), 4  # a 12-megapixel photograph, decoded so often a turn


def photo() -> bytes:
    """A drawn face in the size that telephones take."""
    buffer = io.BytesIO()
    drawn = draw_face(seed=1, index=0)[1].convert("RGB")
    drawn.resize(PHOTO_SIZE, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def costs(files: list[bytes], rounds: int) -> list[float]:
    """Seconds to decode one of `files` to each of `SPECS`, in turns; medians."""
    times: list[list[float]] = [[] for _ in SPECS]
    for _ in range(rounds):
        for taken, spec in zip(times, SPECS.values(), strict=True):
            began = time.perf_counter()
            for data in files:
                decode_image(data, spec)
            taken.append((time.perf_counter() - began) / len(files))
    return [statistics.median(taken) for taken in times]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--manifest", default="runs/manifest")
    parser.add_argument("--bundle", help="RGB 96x96; default: the shipped one")
    parser.add_argument("--images", type=int, default=500, help="decoded in each turn")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=DOCUMENT)
    arguments = parser.parse_args()
    if is_missing(arguments.manifest):
        return
    quiet_libraries()
    rows = manifest.labelled(manifest.read_manifest(arguments.manifest), "val")
    chosen = np.random.default_rng(0).permutation(rows.num_rows)[: arguments.images]
    faces = [storage.read_bytes(rows["uri"][int(i)].as_py()) for i in chosen]
    face_s, photo_s = costs(faces, arguments.rounds), costs([photo()] * PHOTO_TURNS, 3)
    bundle = open_bundle(arguments.bundle)
    age, gender = manifest.codes(rows, "age_years"), manifest.codes(rows, "gender")
    lines: list[str] = []
    for (name, spec), face, large in zip(SPECS.items(), face_s, photo_s, strict=True):
        figures = "– | –"
        if spec.shape == bundle.input.shape:
            columns = predictions(dataclasses.replace(bundle, input=spec), rows)
            estimates = metrics.evaluate(age, columns["age_years"], gender, columns["p_female"])
            age_text, gender_text = (
                estimates["age_mae"].text(2),
                estimates["gender_accuracy"].text(1, True),
            )
            figures = f"{age_text} | {gender_text}"
        lines.append(
            f"| {name} | {spec.width}x{spec.height} {spec.color}, {spec.resample}, "
            f"{spec.jpeg_oversample}x | {face * 1e6:,.0f} (x {face / face_s[0]:.2f}) | "
            f"{large * 1e3:,.1f} | {figures} |"
        )
    text = document(bundle.name, bundle.id, len(faces), lines)
    arguments.output.write_text(text)
    print(text)


def document(name: str, bundle_id: str, images: int, lines: list[str]) -> str:
    """docs/benchmarks/decoding.md."""
    today, wide, high = datetime.datetime.now(datetime.UTC).date(), *PHOTO_SIZE
    return "\n".join([
        "# From a file to pixels", "",
        f"`{command_line()}`: `decode_image` on one core, {images} UTKFace files (JPEG, 200x200)",
        f"and a JPEG of {wide:,}x{high:,}, in turns, medians. The last columns are {name}",
        f"({bundle_id}) on val, float32, given those pixels; 95 % intervals in brackets.", "",
        f"{today}, {machine()}, load at the end {os.getloadavg()[0]:.1f}.", "",
        "| | size, filter, least oversampling by the JPEG decoder | µs a face | ms a 12-Mpx photo |"
        " val age MAE, years | val gender |",
        "|---|---|---:|---:|---|---|", *lines,
    ]) + "\n"  # fmt: skip


if __name__ == "__main__":
    main()
