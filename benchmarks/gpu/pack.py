"""Pack a labelled manifest for a machine that has a GPU, and neither Ray nor TensorFlow.

    python -m benchmarks.gpu.pack --manifest runs/both --output .gpu --folds 3 --parts 2

Writes images-0.bin, images-1.bin, … (the files' bytes, one after the other), rows.parquet: for
each labelled row where its bytes are, the face's points, and for each training (fold-0, …, final)
whether it learns the row or is measured on it, by the same rules as `jobs.train`; and seen.json,
which images each training learns from, as bundles say it.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines import storage
from pipelines.manifests import leakage, manifest
from pipelines.manifests.conflicts import kept_rows, with_conflicts_resolved
from pipelines.manifests.splits import Fold, identities_of
from pipelines.storage import tables


def pack(place: str, output: Path, folds: int, parts: int, conflicts: Any = "mean") -> pd.DataFrame:
    """Write the files below `output`; returns what rows.parquet holds."""
    names = ["uri", "age_years", "gender", "split"]
    table = manifest.labelled(manifest.read_manifest(place, names), None)
    output.mkdir(parents=True, exist_ok=True)
    rows = _where([str(uri) for uri in table["uri"]], output, parts)
    rows["face_landmarks"] = table["face_landmarks"].to_pylist()
    identities, learned = identities_of(table), dict[str, Any]()
    for part in [*range(folds), None]:
        name = "final" if part is None else f"fold-{part}"
        split = np.array(
            ["train" if part is None else Fold(part, folds).split_of(one) for one in identities]
        )
        rows[f"{name}_split"] = split
        own = table.filter(pa.array(split == "train"))
        learned[name] = leakage.sketch(own)
        frame: Any = own.to_pandas()
        resolved = manifest.from_frame(with_conflicts_resolved(frame, conflicts))
        kept = kept_rows(frame, conflicts).to_numpy()
        for label in ("age_years", "gender", "race"):
            values = np.full(len(rows), np.nan, np.float32)
            values[split == "train"] = np.where(kept, manifest.codes(resolved, label), np.nan)
            true = manifest.codes(table, label)
            rows[f"{name}_{label}"] = np.where(split == "train", values, true).astype(np.float32)
    (output / "seen.json").write_text(json.dumps(learned))
    tables.write_table(str(output / "rows.parquet"), pa.Table.from_pandas(rows))
    return rows


def _where(uris: list[str], output: Path, parts: int) -> pd.DataFrame:
    """Copy the bytes of each picture once; where those of each row are."""
    once = list(dict.fromkeys(uris))
    found: dict[str, tuple[int, int, int]] = {}
    for part in range(parts):
        with (output / f"images-{part}.bin").open("wb") as file:
            for uri in once[part * len(once) // parts : (part + 1) * len(once) // parts]:
                data = storage.read_bytes(uri)
                found[uri] = (part, file.tell(), len(data))
                file.write(data)
    return pd.DataFrame([found[uri] for uri in uris], columns=["part", "offset", "bytes"])


def main() -> None:
    """Pack what the arguments name."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--parts", type=int, default=2)
    given = parser.parse_args()
    rows = pack(given.manifest, given.output, given.folds, given.parts)
    print(f"{len(rows):,} rows of {rows['part'].max() + 1} files in {given.output}")


if __name__ == "__main__":
    main()
