"""What goes wrong on a cluster, told as what it is."""

import errno

import pytest
import ray.exceptions

from model.errors import FacemillError, StorageError, UsageError
from pipelines.cluster.errors import as_resumable_failure, plain_errors, reason_of


def test_a_failure_names_its_cause_and_not_a_hint_of_ray() -> None:
    told = (
        "ray::MapWorker(MapBatches(ShardScorer)).submit() (pid=7)\n"
        "model.errors.FacemillError: shard 3 was begun 12 times\n"
        "To change retry attempts, set DataContext.max_errored_blocks\n"
    )
    assert reason_of(ray.exceptions.RayError(told)) == "FacemillError: shard 3 was begun 12 times"


@pytest.mark.parametrize("error", [OSError("the disk is full"), ray.exceptions.RayError("it died")])
def test_what_a_second_try_may_mend_says_that_the_same_command_continues(error: Exception) -> None:
    told = rf"^{error}; what is scored is safe: run the same command"
    with pytest.raises(FacemillError, match=told), as_resumable_failure("scored"):
        raise error


def test_a_bug_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), as_resumable_failure("scored"):
        raise ZeroDivisionError


def test_what_the_same_command_cannot_mend_is_raised_as_a_task_raised_it() -> None:
    refused = UsageError("`bundle` is of another model")
    task = ray.exceptions.RayTaskError("scorer", "a long traceback", refused)
    with (
        pytest.raises(UsageError, match="is of another model"),
        as_resumable_failure("scored"),
    ):
        raise task


def test_what_a_disk_did_to_a_task_is_told_without_the_traceback_of_ray() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/out/predictions/a.parquet")
    task = ray.exceptions.RayTaskError("scorer", "a long\ntraceback", full).as_instanceof_cause()
    assert isinstance(task, OSError)
    with pytest.raises(FacemillError) as told, as_resumable_failure("scored"):
        raise task
    assert str(told.value).startswith("/out/predictions/a.parquet: No space left on device (ENOSPC")
    with pytest.raises(StorageError) as told, plain_errors():
        raise task
    assert str(told.value).startswith("/out/predictions/a.parquet: No space left on device (ENOSPC")
