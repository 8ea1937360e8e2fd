"""How long things may take, as FACEMILL_*_S in the environment says."""

import math
import os

from model.errors import UsageError


def seconds(name: str, usual: float) -> float:
    """The seconds that the variable `name` gives, or `usual` where it is not set.

    Raises:
        UsageError: it is not a number of seconds, 0 or more.
    """
    text = os.environ.get(name, "")
    try:
        value = float(text or usual)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise UsageError(
            f"{name}={text!r} must be a number of seconds, 0 or more, such as {usual:g}"
        )
    return value
