"""A few images, answered in this process: a line a face, without starting Ray."""

import functools
import io
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model.backends.selection import abilities, choose, parsed
from model.bundle import Bundle
from model.errors import FacemillError, UsageError
from model.faces.pyramid import sized
from model.pictures import decode_picture
from model.predictor import Predictor
from pipelines import storage
from pipelines.images.batches import decode_entries_with
from pipelines.images.guarded_decoder import find_decoder
from pipelines.scoring.options import ScoreOptions
from pipelines.scoring.rows import BATCH_IMAGES, score_entries
from pipelines.storage import listing
from pipelines.telemetry.log import note

_DRAWN_AS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}


def predicted_lines(options: ScoreOptions, bundle: Bundle) -> Iterator[str]:
    """A line for each face, `one.jpg  face 1 of 2  male (97 %)  24 years (19 to 31)`.

    At the end it is noted how long it took. A face crop has one line and no face number.

    Raises:
        FacemillError: none has a prediction; after the lines that say why.
        UsageError: there are none, one does not exist or is a folder, or what is to be drawn is
            not one image with faces.
    """
    if not options.images:
        raise UsageError("give either `images` or `manifest`")
    if options.exclude:
        raise UsageError("`exclude` is for what lies below a folder: give `output` too")
    paths = [storage.normalize(uri) for uri in options.images]
    for path in paths:
        storage.require_readable(path, "`images`")
        if listing.is_folder(path) or listing.is_archive(path) or listing.is_list(path):
            raise UsageError(
                f"`images` {path} holds many images: give `output` for their predictions"
            )
    if options.draw is not None:
        _require_drawable(options, paths)
    started = time.monotonic()
    network = options.network
    compute = choose(*parsed(network.compute), bundle, abilities())
    predictor = Predictor(bundle, compute, min(len(paths), BATCH_IMAGES), views=network.tta)
    loading_s = time.monotonic() - started
    width = max(len(os.path.basename(path)) for path in paths)
    scored = 0
    for path in paths:
        rows, why_none = _answers(path, predictor, options)
        name = f"{os.path.basename(path):<{width}}"
        if not rows:
            yield f"{name}  not scored: {why_none}"
        yield from (f"{name}  {_line(row)}" for row in rows)
        scored += bool(rows)
        if options.draw is not None:
            _draw(path, bundle, rows, options.draw)
    seconds = time.monotonic() - started
    note(
        f"done in {seconds:.1f} s, of which {loading_s:.1f} s loading the network ({compute.words})"
    )
    if not scored:
        raise FacemillError("no image was scored; each line above says why")


def _require_drawable(options: ScoreOptions, paths: list[str]) -> None:
    """Refuse to draw several images, a face crop, or a kind of file that we cannot write."""
    if len(paths) != 1 or options.faces == "crop":
        raise UsageError(
            "`draw` needs one image, and not `faces` crop: it draws the detected faces"
        )
    if os.path.splitext(str(options.draw))[1].lower() not in _DRAWN_AS:
        raise UsageError(f"`draw` {options.draw} must end in .jpg, .png or .webp")
    folder = storage.normalize(str(options.draw)).rpartition("/")[0]
    storage.require_writable(folder or "/", "`draw`")


def _answers(
    path: str, predictor: Predictor, options: ScoreOptions
) -> tuple[Sequence[dict[str, Any]], str]:
    """The rows of an image, or none and why."""
    entry = {"uri": path, "bytes": None, "offset": None}
    wanted = None if options.faces == "crop" else options.detection.search
    decode = decode_entries_with(find_decoder(options.limits.decoder), wanted)
    scored = score_entries([entry], predictor, decode=decode, by_name=False)
    why = [row["message"] for row in scored.quarantine.to_pylist()]
    return scored.predictions.to_pylist(), "".join(why)


def _line(row: Mapping[str, Any]) -> str:
    parts = list[str]()
    if row["face"] is not None:
        parts.append(f"face {row['face'] + 1} of {row['faces']}")
    if row["p_female"] is not None:
        sure = max(row["p_female"], 1 - row["p_female"])
        parts.append(f"{row['gender']} ({100 * sure:.0f} %)")
    if row["age_years"] is not None:
        interval = ""
        if row["age_low_years"] is not None:
            interval = f" ({row['age_low_years']:.0f} to {row['age_high_years']:.0f})"
        parts.append(f"{row['age_years']:.0f} years{interval}")
    return "  ".join(parts)


def _draw(path: str, bundle: Bundle, rows: Sequence[dict[str, Any]], target: str) -> None:
    """Write the image with its faces."""
    from pipelines.charts.boxed_faces import draw_faces

    if not rows:
        note(f"no face was detected: {target} is not written")
        return
    data = storage.read_bytes(path)
    whole = functools.partial(sized, scale=1.0)
    picture = decode_picture(data, "rgb", bundle.input.version, whole)
    buffer = io.BytesIO()
    kind = _DRAWN_AS[os.path.splitext(target)[1].lower()]
    draw_faces(picture.image, picture.scale, rows).save(buffer, kind, quality=92)
    storage.write_bytes(storage.normalize(target), buffer.getvalue())
    note(f"wrote {target}")
