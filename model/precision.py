"""The precision of a network's body, and which one this machine is fastest in."""

from pathlib import Path
from typing import Literal

Precision = Literal["float32", "bfloat16", "float16"]


def fastest_precision() -> Precision:
    """bfloat16 where this machine's CPU multiplies it in hardware, else float32.

    Asked of the CPU's flags and not of a clock, so that every run on such a machine agrees:
    with AVX512-BF16 seed-final does twice the images (docs/benchmarks/scoring.md); without it,
    bfloat16 is emulated and slower. Needs no TensorFlow.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "float32"
    has = any(f" {flag}" in flags for flag in ("avx512_bf16", "amx_bf16", "bf16 "))
    return "bfloat16" if has else "float32"
