"""A few pictures, answered in this process: a line each, without starting Ray."""

import importlib
import os
import time
from collections.abc import Iterator

from model.bundle import Bundle
from model.errors import UsageError
from model.predictor import Predictor
from model.runtime import import_tensorflow
from pipelines import storage
from pipelines.scoring.options import ScoreOptions
from pipelines.scoring.rows import BATCH_IMAGES, score_entries
from pipelines.storage import listing
from pipelines.telemetry.log import note


def answer_pictures(options: ScoreOptions, bundle: Bundle) -> Iterator[str]:
    """A line for each picture, `one.jpg  male (97 %)  24 years`; at the end how long it took.

    Raises:
        UsageError: there are none, one does not exist, or is a folder.
    """
    if not options.images:
        raise UsageError("give either `images` or `manifest`")
    paths = [storage.normalize(uri) for uri in options.images]
    for path in paths:
        storage.require_readable(path, "`images`")
        if listing.is_folder(path) or path.endswith(".tar"):
            raise UsageError(f"`images` {path} is a folder: give `output` for its predictions")
    started = time.monotonic()
    import_tensorflow()
    importlib.import_module("keras")
    imports_s = time.monotonic() - started
    # float32: no slower for a few pictures, and it needs no second look at the CPU.
    precision = "float32" if options.answers.precision == "auto" else options.answers.precision
    predictor = Predictor(
        bundle, precision, min(len(paths), BATCH_IMAGES), views=options.answers.views
    )
    width = max(len(os.path.basename(path)) for path in paths)
    for path in paths:
        yield f"{os.path.basename(path):<{width}}  {_answer(path, predictor)}"
    seconds = time.monotonic() - started
    note(f"answered in {seconds:.1f} s, {imports_s:.1f} s of them imports")


def _answer(path: str, predictor: Predictor) -> str:
    entry = {"uri": path, "bytes": None, "offset": None}
    scored, rejected = score_entries([entry], predictor, by_name=False)
    if rejected.num_rows:
        return f"not scored: {rejected.to_pylist()[0]['message']}"
    row = scored.to_pylist()[0]
    parts = list[str]()
    if row["p_female"] is not None:
        sure = max(row["p_female"], 1 - row["p_female"])
        parts.append(f"{row['gender']} ({100 * sure:.0f} %)")
    if row["age_years"] is not None:
        parts.append(f"{row['age_years']:.0f} years")
    return "  ".join(parts)
