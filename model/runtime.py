"""TensorFlow, imported without its greeting and set to a number of threads."""

import contextlib
import os
import platform
import sys
import tempfile
import threading
from collections.abc import Generator, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

# What TensorFlow and Keras import if it is installed, for uses that are none of ours (converting
# from JAX, wrappers for scikit-learn, galleries, data frames to `fit`): 1.7 of 3.8 core seconds
# and 310 of 950 MB in each process of a training (2026-11-27).
_UNUSED_EXTRAS = frozenset({"jax", "sklearn", "matplotlib", "pandas"})
_ONE_AT_A_TIME = threading.RLock()  # descriptors are the process's: two would restore another's


@contextlib.contextmanager
def captured(descriptor: Literal[1, 2]) -> Generator[None]:
    """Hold back what is written to stdout (1) or stderr (2); show it only if the block raises.

    By C++ code too: TensorFlow 2.21 logs at import and at the first look for a GPU whatever
    TF_CPP_MIN_LOG_LEVEL says (tensorflow#100442), so the file descriptor itself is redirected for
    that moment.
    """
    stream = (sys.stdout, sys.stderr)[descriptor - 1]
    stream.flush()
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as held:
        saved = os.dup(descriptor)
        os.dup2(held.fileno(), descriptor)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            stream.flush()
            os.dup2(saved, descriptor)
            os.close(saved)


def captured_stderr() -> contextlib.AbstractContextManager[None]:
    """Hold back what is written to stderr: see `captured`."""
    return captured(2)


class _Hidden(MetaPathFinder):
    """Answers the imports of one thread as if some packages were not installed."""

    def __init__(self, packages: frozenset[str]) -> None:
        self.packages, self.thread = packages, threading.get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> None:
        if fullname in self.packages and threading.get_ident() == self.thread:
            raise ModuleNotFoundError(f"{fullname} is not imported here", name=fullname)


@contextlib.contextmanager
def hidden(packages: frozenset[str]) -> Generator[None]:
    """Let imports of this thread not find these packages; what is imported already stays.

    Other threads, and this one afterwards, import them as ever.
    """
    finder = _Hidden(packages)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def machine() -> str:
    """Cores, CPU and Python of this machine, as text."""
    cpu, info = platform.machine(), Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    return f"{os.cpu_count()} cores ({cpu}), Python {platform.python_version()}"


def has_gpu() -> bool:
    """Whether TensorFlow finds a GPU in this process."""
    return bool(import_tensorflow().config.list_physical_devices("GPU"))


def import_tensorflow(threads: int | None = None) -> Any:
    """Import TensorFlow, look for its devices and size its thread pools.

    Args:
        threads: threads inside an operation, and operations at once; None leaves TensorFlow's
            default (all cores). Ignored if TensorFlow has already run an operation in this process.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.pop("TF_USE_LEGACY_KERAS", None)  # a user may have set it: this is Keras 3
    with captured_stderr():
        with hidden(_UNUSED_EXTRAS):
            import tensorflow as tf

        if threads is not None:
            with contextlib.suppress(RuntimeError):
                tf.config.threading.set_intra_op_parallelism_threads(threads)
                tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.config.list_physical_devices()
    return tf


def import_openvino() -> Any:
    """Import OpenVINO without the package that reports its use.

    At every import that one would write a client's id below ~/intel and, unless a file there
    forbids it, send events to its makers. OpenVINO and NNCF do without it where it is missing.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
