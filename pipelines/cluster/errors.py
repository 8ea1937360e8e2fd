"""Turns Ray's remote tracebacks into the error that was raised, or into one sentence."""

import contextlib
import re
from collections.abc import Generator

from ray.exceptions import RayError, RayTaskError

from model.errors import FacemillError, StorageError, UsageError, describe_os_error

_NAMES_AN_ERROR = re.compile(r"[\w.]*(Error|Exception)[^:]*: \S")


def cause_of(error: BaseException) -> BaseException:
    """What a task raised, as it was raised there; any other error as it is."""
    cause = error.cause if isinstance(error, RayTaskError) else None
    return cause if isinstance(cause, Exception) else error


def reason_of(error: BaseException) -> str:
    """Why, in one line: of Ray's long text the last line that names an error, not its hints."""
    cause = cause_of(error)
    if isinstance(cause, OSError):
        return describe_os_error(cause)
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    naming = [line for line in lines if _NAMES_AN_ERROR.match(line)]
    return re.sub(r"^[\w.]*\.", "", (naming or lines or [type(error).__name__])[-1])


def code_was_missing(error: RayError) -> bool:
    """Whether a worker did not find facemill itself, which passes: see `session._runtime_env`."""
    return bool(re.search(r"No module named '(pipelines|model)\b", str(error)))


@contextlib.contextmanager
def plain_errors() -> Generator[None]:
    """Raise what failed in a task as if it had failed here.

    Raises:
        StorageError: a file, a store or the network could not be read or written there.
        FacemillError: as it was raised there.
        RayTaskError: anything else, which is a bug of facemill; its traceback is wanted.
    """
    try:
        yield
    except RayTaskError as error:
        cause = cause_of(error)
        if isinstance(cause, FacemillError):
            raise cause from None
        if isinstance(cause, OSError):
            raise StorageError(describe_os_error(cause)) from None
        raise


@contextlib.contextmanager
def as_resumable_failure(done: str) -> Generator[None]:
    """Say of a full disk, an outage or lost workers that the same command continues.

    Args:
        done: what is safe: `scored`, `trained`.

    Raises:
        UsageError: as a task raised it: the same command cannot mend that.
        FacemillError: in place of any other RayError, or an OSError.
    """
    try:
        yield
    except (OSError, RayError) as error:
        if isinstance(cause := cause_of(error), UsageError):
            raise cause from None
        raise FacemillError(
            f"{reason_of(error)}; what is {done} is safe: run the same command again to continue"
        ) from error
