"""What goes wrong in a Ray task, told as what it is: not as the task's remote traceback."""

import contextlib
from collections.abc import Generator

from ray.exceptions import RayTaskError

from model.errors import FacemillError, StorageError


@contextlib.contextmanager
def plain_task_errors() -> Generator[None]:
    """Raise what failed in a task as if it had failed here.

    Raises:
        StorageError: a file, a store or the network could not be read or written there.
        FacemillError: as it was raised there.
        RayTaskError: anything else, which is a fault of ours; its traceback is wanted.
    """
    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, FacemillError):
            raise error.cause from None
        if isinstance(error.cause, OSError):
            raise StorageError(str(error.cause)) from None
        raise
