"""What C++ code writes to stderr is held back, and shown if something goes wrong."""

import os

import pytest

from model.runtime import captured_stderr, machine


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
