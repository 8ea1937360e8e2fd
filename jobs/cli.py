"""What every job shares: arguments from a dataclass, quiet libraries, exit codes 0, 1 and 2."""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tyro

from model.errors import FacemillError, UsageError

Config = TypeVar("Config")


def run(
    config_type: type[Config], job: Callable[[Config], None], argv: Sequence[str] | None
) -> None:
    """Parse `argv` into `config_type` and run `job`; the process ends with its exit code.

    0 is success, 2 a user's error (one sentence, no traceback), 1 a failure, 130 an interrupt.
    """
    quiet_libraries()
    description = sys.modules[job.__module__].__doc__ or ""
    try:
        config = tyro.cli(config_type, args=argv, description=description)
        job(config)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except FacemillError as error:
        print(f"failed: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted: the same command continues where it stopped", file=sys.stderr)
        raise SystemExit(130) from None


def quiet_libraries() -> None:
    """Keep the chatter of TensorFlow, oneDNN, absl and Ray out; their errors still show.

    Set in the environment, so that Ray's workers inherit it.
    """
    defaults = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_DEPRECATION_WARNINGS": "0",
        "KERAS_BACKEND": "tensorflow",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
        "RAY_TRAIN_V2_ENABLED": "1",
        "RAY_DEDUP_LOGS": "1",
        "RAY_AIR_NEW_OUTPUT": "0",
        "PYTHONWARNINGS": "ignore",
        # Ray Data's own actors draw an ERROR about constructor arguments (ray#53727) in every run.
        "RAY_BACKEND_LOG_LEVEL": "fatal",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore")
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    logging.getLogger("ray").setLevel(logging.ERROR)


def start_ray() -> None:
    """Join the cluster that `RAY_ADDRESS` (or `ray job submit`) names, else start a local one."""
    import ray
    from ray.data import DataContext

    if not ray.is_initialized():
        options: dict[str, Any] = {}
        if not os.environ.get("RAY_ADDRESS"):
            # "local": never somebody else's cluster that happens to run on this machine.
            options = {"address": "local", "include_dashboard": False, "num_cpus": os.cpu_count()}
        ray.init(
            logging_level=logging.ERROR, log_to_driver=False, configure_logging=True, **options
        )
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # Failures reach us as exceptions, told in a sentence; their traces are in Ray's own logs.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)


def print_table(title: str, rows: Sequence[tuple[str, object]]) -> None:
    """A two-column summary on stdout."""
    width = max(len(name) for name, _ in rows)
    print(f"\n{title}")
    for name, value in rows:
        print(f"  {name:<{width}}  {value}")
