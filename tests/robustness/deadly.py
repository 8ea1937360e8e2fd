"""A decoder that really dies, on files that say so; workers know it by the name `DECODER`.

The bytes `DIE:segv`, `DIE:hang`, `DIE:hog`, `DIE:kill` anywhere in a file make the process that
decodes it crash, hang without letting go of the GIL, eat memory, or be killed as the kernel kills;
`DIE:uncoded:FILE;` is, until FILE is there, a node on which facemill's code is not;
`DIE:raise` is a bug of our own, which is no image's fault; `DIE:slow` only takes its time.
"""

import ctypes
import os
import re
import signal
import time
from pathlib import Path

from model.faces.crops import Crops, Wanted, crops_of
from model.preprocessing import InputSpec

DECODER = "tests.robustness.deadly:crops_or_death"


def poisoned(face: bytes, how: str) -> bytes:
    """A good picture that kills: what follows the end of a JPEG is no decoder's business."""
    return face + f"DIE:{how}".encode()


def crops_or_death(data: bytes, spec: InputSpec, wanted: Wanted = None) -> Crops:
    """Decode, or die."""
    if b"DIE:segv" in data:
        os.kill(os.getpid(), signal.SIGSEGV)
    if b"DIE:hang" in data:
        ctypes.PyDLL(None).sleep(3600)  # PyDLL keeps the GIL, as a bad decoder does
    if b"DIE:hog" in data:
        _ = bytearray(1 << 44)
    if b"DIE:kill" in data:
        os.kill(os.getpid(), signal.SIGKILL)
    if uncoded := re.search(rb"DIE:uncoded:([^;]+);", data):
        marker = Path(uncoded[1].decode())
        if not marker.exists():
            marker.touch()
            raise ModuleNotFoundError("No module named 'pipelines'")
    if b"DIE:raise" in data:
        raise ZeroDivisionError("a bug of ours")
    if b"DIE:slow" in data:
        time.sleep(0.025)
    return crops_of(data, spec, wanted)
