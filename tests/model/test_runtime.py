"""What C++ code writes to stderr is held back, and shown if something goes wrong."""

import importlib
import os
import subprocess
import sys
import threading

import pytest

from model.runtime import captured_stderr, hidden, machine


def test_what_a_library_chats_is_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    with captured_stderr():
        os.write(2, b"greetings\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_what_it_said_before_it_failed_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImportError), captured_stderr():
        os.write(2, b"libcuda.so is broken\n")
        raise ImportError
    assert capfd.readouterr().err == "libcuda.so is broken\n"


def test_a_machine_is_told_by_its_cores_and_python() -> None:
    assert machine().startswith(f"{os.cpu_count()} cores (")


def test_hidden_packages_are_missing_for_one_thread_and_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    found: list[str] = []
    other = threading.Thread(target=lambda: found.append(importlib.import_module("wave").__name__))
    with hidden(frozenset({"wave", "colorsys"})):
        with pytest.raises(ModuleNotFoundError, match=r"^colorsys is not imported here$"):
            importlib.import_module("colorsys")
        other.start()
        other.join()
        assert importlib.import_module("wave").__name__ == "wave"  # imported already
    assert found == ["wave"]
    assert importlib.import_module("colorsys").__name__ == "colorsys"


def test_tensorflow_is_imported_without_what_it_would_only_convert_from() -> None:
    code = (
        "import sys; from model.runtime import import_tensorflow; import_tensorflow();"
        "import keras; extras = {'jax', 'sklearn', 'matplotlib', 'pandas'};"
        "print(sorted(extras & set(sys.modules)), 'keras' in sys.modules);"
        "import matplotlib, pandas; print(matplotlib.__name__, pandas.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[] True\nmatplotlib pandas\n"
