"""Which way a network is computed, and what is said where it cannot be."""

import dataclasses
from typing import Any

import pytest

from model.backends.selection import INT8, Compute, abilities, choose
from model.bundle import FLOAT_FILES, INT8_FILES, Bundle
from model.errors import UsageError

ALL = frozenset(["openvino", "int8", "bfloat16"])


def _carrying(bundle: Bundle, *files: str, **record: Any) -> Bundle:
    sums = {name: "" for name in ("network.keras", *files)}
    return dataclasses.replace(bundle, record={**bundle.record, "files": sums, **record})


@pytest.mark.parametrize(
    ("files", "able", "chosen"),
    [
        ((*FLOAT_FILES, *INT8_FILES), ALL, INT8),
        ((*FLOAT_FILES, *INT8_FILES), ALL - {"int8"}, Compute("openvino", "bfloat16")),
        ((*FLOAT_FILES, *INT8_FILES), {"openvino"}, Compute("openvino", "float32")),
        ((*FLOAT_FILES, *INT8_FILES), {"bfloat16"}, Compute("tensorflow", "bfloat16")),
        (FLOAT_FILES, ALL, Compute("openvino", "bfloat16")),
        ((), ALL, Compute("tensorflow", "bfloat16")),
        ((), frozenset[str](), Compute("tensorflow", "float32")),
    ],
)
def test_auto_is_the_fastest_that_bundle_and_machines_have(
    untrained: Bundle, files: tuple[str, ...], able: frozenset[str], chosen: Compute
) -> None:
    assert choose("auto", "auto", _carrying(untrained, *files), able) == chosen


def test_what_is_asked_for_is_taken(untrained: Bundle) -> None:
    bundle = _carrying(untrained, *FLOAT_FILES, *INT8_FILES)
    assert choose("tensorflow", "auto", bundle, ALL) == Compute("tensorflow", "bfloat16")
    assert choose("auto", "float32", bundle, ALL) == Compute("openvino", "float32")
    assert choose("auto", "float16", bundle, ALL) == Compute("tensorflow", "float16")
    # TensorFlow emulates what it is asked for; auto never does.
    assert choose("auto", "bfloat16", bundle, {"openvino"}) == Compute("tensorflow", "bfloat16")


@pytest.mark.parametrize(
    ("engine", "precision", "able", "told"),
    [
        (
            "tensorflow",
            "int8",
            ALL,
            "`compute` tensorflow-int8: tensorflow computes in bfloat16, float16",
        ),
        (
            "openvino",
            "float16",
            ALL,
            "`compute` openvino-float16: openvino computes in bfloat16, float",
        ),
        ("auto", "int8", ALL, r"has no int8 network \(its age error is higher\): jobs.calibrate"),
        ("openvino", "auto", {"openvino", "int8"}, "has no int8 network|has no OpenVINO network"),
        ("auto", "int8", frozenset[str](), "a worker has no package openvino"),
    ],
)
def test_what_cannot_be_had_is_a_sentence(
    untrained: Bundle, engine: Any, precision: Any, able: frozenset[str], told: str
) -> None:
    bundle = _carrying(untrained, int8={"refused": "its age error is higher"})
    with pytest.raises(UsageError, match=told):
        choose(engine, precision, bundle, able)


def test_int8_wants_a_cpu_with_vnni(untrained: Bundle) -> None:
    bundle = _carrying(untrained, *FLOAT_FILES, *INT8_FILES)
    with pytest.raises(UsageError, match="the CPU of a worker has no VNNI; `compute` auto"):
        choose("auto", "int8", bundle, {"openvino", "bfloat16"})


def test_abilities_are_those_of_this_machine() -> None:
    assert "openvino" in abilities()
    assert abilities() <= ALL
