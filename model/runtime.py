"""TensorFlow, imported without its greeting and set to a number of threads."""

import contextlib
import os
import platform
import sys
import tempfile
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

_ONE_AT_A_TIME = threading.RLock()  # the descriptor is the process's: two would restore another's


@contextlib.contextmanager
def captured_stderr() -> Generator[None]:
    """Hold back what C++ code writes to stderr; show it only if the block raises.

    TensorFlow 2.21 logs at import and at the first look for a GPU whatever TF_CPP_MIN_LOG_LEVEL
    says (tensorflow#100442), so the file descriptor itself is redirected for that moment.
    """
    sys.stderr.flush()
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as held:
        saved = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def machine() -> str:
    """Cores, CPU and Python of this machine, in words."""
    cpu, info = platform.machine(), Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    return f"{os.cpu_count()} cores ({cpu}), Python {platform.python_version()}"


def import_tensorflow(threads: int | None = None) -> Any:
    """Import TensorFlow, look for its devices and size its thread pools.

    Args:
        threads: threads inside an operation, and operations at once; None leaves TensorFlow's
            default (all cores). Ignored if TensorFlow has already run an operation in this process.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.pop("TF_USE_LEGACY_KERAS", None)  # Ray Train sets it, and this is Keras 3
    with captured_stderr():
        import tensorflow as tf

        if threads is not None:
            with contextlib.suppress(RuntimeError):
                tf.config.threading.set_intra_op_parallelism_threads(threads)
                tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.config.list_physical_devices()
    return tf
