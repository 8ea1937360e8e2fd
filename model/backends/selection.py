"""Which backend computes a network, in which precision, and what a machine can do.

Why two backends, and why int8 wants VNNI: docs/decisions/011-two-engines.md.
"""

import dataclasses
import importlib.util
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from model.bundle import FLOAT_FILES, INT8_FILES, Bundle
from model.errors import UsageError

BackendName = Literal["tensorflow", "openvino"]
Precision = Literal["int8", "bfloat16", "float16", "float32"]
_Ability = Literal["openvino", "int8", "bfloat16"]
# x86's multiplication of bytes that adds up in 32 bits. Without it sums of two products saturate
# at 16 bits, and rows are others than those of a machine that has it.
_INT8_FLAGS = ("avx512_vnni", "avx_vnni", "amx_int8")
_BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")


@dataclasses.dataclass(frozen=True)
class Compute:
    """How a network is computed: part of a run's identity, as rows of two ways differ.

    Attributes:
        engine: who computes.
        precision: of the network's body; its heads stay in float32 where the backend allows.
    """

    engine: BackendName
    precision: Precision

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Compute":
        """What a run's record says; one of before 0.2.0 names no backend, as there was one."""
        return cls(record.get("engine", "tensorflow"), record["precision"])

    @property
    def words(self) -> str:
        """`int8 by OpenVINO`."""
        names = {"tensorflow": "TensorFlow", "openvino": "OpenVINO"}
        return f"{self.precision} by {names[self.engine]}"


REFERENCE = Compute("tensorflow", "float32")
INT8 = Compute("openvino", "int8")
# The fastest first, as measured: docs/benchmarks/engines.md.
_BY_SPEED = (
    INT8,
    Compute("openvino", "bfloat16"),
    Compute("tensorflow", "bfloat16"),
    Compute("openvino", "float32"),
    REFERENCE,
    Compute("tensorflow", "float16"),
)


def parsed(text: str) -> tuple[Literal["auto"] | BackendName, Literal["auto"] | Precision]:
    """Backend and precision of the option `compute`; what it does not name is auto.

    Args:
        text: auto, a precision, a backend, or both: `int8`, `openvino`, `tensorflow-float32`.

    Raises:
        UsageError: it is none of them.
    """
    engine: Any = "auto"
    precision: Any = "auto"
    for part in text.split("-"):
        if part in get_args(BackendName) and engine == precision == "auto":
            engine = part
        elif part in get_args(Precision) and precision == "auto":
            precision = part
        elif text != "auto":
            ways = ", ".join(f"{way.engine}-{way.precision}" for way in _BY_SPEED)
            raise UsageError(
                f"`compute` {text}: give auto, a precision ({', '.join(get_args(Precision))}), a "
                f"backend ({', '.join(get_args(BackendName))}) or both ({ways})"
            )
    return engine, precision


def abilities() -> frozenset[str]:
    """What this machine has of `openvino`, the package, and of `int8` and `bfloat16`, in hardware.

    Asked of the CPU's flags and not of a clock, so that every run on such a machine agrees.
    """
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        words = set[str]()
    has: dict[_Ability, bool] = {
        "openvino": importlib.util.find_spec("openvino") is not None,
        "int8": not words.isdisjoint(_INT8_FLAGS),
        "bfloat16": not words.isdisjoint(_BFLOAT16_FLAGS),
    }
    return frozenset(name for name, there in has.items() if there)


def choose(
    engine: Literal["auto"] | BackendName,
    precision: Literal["auto"] | Precision,
    bundle: Bundle,
    able: Collection[str],
) -> Compute:
    """The fastest way that was asked for, that the bundle carries and that machines can go.

    Args:
        engine: asked for.
        precision: asked for; auto takes none that the CPU has to emulate.
        bundle: whose network it is.
        able: `abilities` that all machines have.

    Raises:
        UsageError: there is none; the message says what is missing.
    """
    asked = [
        way
        for way in _BY_SPEED
        if engine in ("auto", way.engine) and precision in ("auto", way.precision)
    ]
    if not asked:
        legal = sorted(way.precision for way in _BY_SPEED if way.engine == engine)
        raise UsageError(f"`compute` {engine}-{precision}: {engine} computes in {', '.join(legal)}")
    missing = list[str]()
    for way in asked:
        lack = lacks(way, bundle, able, emulated=precision != "auto")
        if lack is None:
            return way
        missing.append(lack)
    what = "-".join(part for part in (engine, precision) if part != "auto")
    raise UsageError(
        f"`compute` {what} is not available: {missing[0]}; `compute` auto takes the fastest that is"
    )


def lacks(way: Compute, bundle: Bundle, able: Collection[str], emulated: bool) -> str | None:
    """What is missing to compute that way, as text; None if nothing is.

    Args:
        way: to be gone.
        bundle: whose network it is.
        able: `abilities` of the machine.
        emulated: whether TensorFlow may do bfloat16 and float16 without hardware for it.
    """
    if way.engine == "tensorflow":
        if emulated or way.precision == "float32" or way.precision in able:
            return None
        return f"the CPU of a worker has no {way.precision} in hardware"
    if "openvino" not in able:
        return "a worker has no package openvino (pip install -r requirements.lock)"
    if way.precision == "int8" and INT8_FILES[0] not in bundle.record["files"]:
        refused = (bundle.record.get("int8") or {}).get("refused")
        why = f" ({refused})" if refused else ""
        return f"bundle {bundle.name} has no int8 network{why}: jobs.calibrate makes one"
    if way.precision != "int8" and FLOAT_FILES[0] not in bundle.record["files"]:
        return f"bundle {bundle.name} has no OpenVINO network: jobs.calibrate makes one"
    if way.precision != "float32" and way.precision not in able:
        hardware = "VNNI" if way.precision == "int8" else "bfloat16"
        return f"the CPU of a worker has no {hardware}"
    return None
