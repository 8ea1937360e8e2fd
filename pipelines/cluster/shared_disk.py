"""Whether all nodes of a cluster see a local file: rows would scatter over disks that are apart."""

import os
from collections.abc import Mapping, Sequence

from model.errors import UsageError
from pipelines.cluster.nodes import ask_others


def require_shared(files: Mapping[str, str]) -> None:
    """Look on every other node for files that this one has.

    Args:
        files: an option's name -> a local file that was given or made by it.

    Raises:
        UsageError: a node lacks one, or has another in its place.
    """
    if not files:
        return
    paths = list(files.values())
    own = _marks_of(paths)
    for address, marks in ask_others(_marks_of, paths):
        for name, path, mark, mine in zip(files, paths, marks, own, strict=True):
            if mark != mine:
                raise UsageError(
                    f"`{name}` is a local path, and node {address} does not see {path} as this "
                    "one does: give an s3:// prefix, or a folder that all nodes share"
                )


def _marks_of(paths: Sequence[str]) -> list[tuple[int, int] | None]:
    """Size and time of files, the same wherever their disk is mounted; None where one is not."""
    marks = list[tuple[int, int] | None]()
    for path in paths:
        try:
            status = os.stat(path)
            marks.append((status.st_size, int(status.st_mtime)))
        except OSError:
            marks.append(None)
    return marks
