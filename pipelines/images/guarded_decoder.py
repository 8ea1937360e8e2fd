"""Decoding in a process of its own: what crashes, hangs or eats memory costs one image.

A decoder is C code fed by strangers. Scoring decodes in the worker, which is fastest; a shard
that killed its worker is decoded here when it is tried again, so the guilty image is known: the
one that the child had in hand when it died. The child loads no TensorFlow and restarts in 0.3 s.
"""

import contextlib
import ctypes
import dataclasses
import importlib
import json
import os
import resource
import select
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from model.errors import DecodeError
from model.faces.crops import Crops, FaceSearch, Wanted
from model.faces.face import Face
from model.preprocessing import InputSpec

Decode = Callable[[bytes, InputSpec, Wanted], Crops]

DECODER = "model.faces.crops:crops_of"  # named, because it must be found in other processes
TIMEOUT_S = 30.0  # the largest image taken, 89 megapixels, decodes in about 3 s
MEMORY_BYTES = 4 << 30  # an 89-megapixel RGBA image peaks at about 1.3 GB
_GRACE_S = 10.0  # after which a child that not even its own alarm has ended is killed
_HEAD = struct.Struct("<QI")  # bytes of the body, bytes of the JSON before it


def find_decoder(name: str) -> Decode:
    """The function that `module:function` names."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def ended_at_once(decode: Decode, timeout_s: float) -> Decode:
    """`decode`, but the kernel ends this process where it crashes or takes over `timeout_s`.

    SIGALRM's default action needs no thread and no GIL, which a hung decoder may hold; arming it
    costs a microsecond. A crash gets its default action too: Ray's handler of failures, which
    would print a stack first, can raise the signal to itself for ever.
    """
    libc = ctypes.CDLL(None)  # Python's own `signal.signal` is for the main thread alone
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    for crash in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT):
        libc.signal(crash, None)  # SIG_DFL

    def decode_or_end(data: bytes, spec: InputSpec, wanted: Wanted = None) -> Crops:
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        try:
            return decode(data, spec, wanted)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    return decode_or_end


class IsolatedDecoder:
    """Called like `crops_of`; its child process is started when needed and again if it dies."""

    def __init__(
        self,
        decoder: str = DECODER,
        timeout_s: float = TIMEOUT_S,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        """Remember how to decode; no process is started yet."""
        self._settings = (decoder, timeout_s, memory_bytes)
        self._child: subprocess.Popen[bytes] | None = None

    def __call__(self, data: bytes, spec: InputSpec, wanted: Wanted = None) -> Crops:
        """Decode, and find faces, in the child.

        Raises:
            DecodeError: as `crops_of`, or `crashed`, `timeout`, `out_of_memory`.
            RuntimeError: the child cannot even be started; that is no image's fault.
        """
        child = self._running()
        header, body = None, b""
        with contextlib.suppress(BrokenPipeError):
            _write(_pipe(child.stdin), _question(spec, wanted), data)
            header, body = self._message(child)
        if header is None:
            raise self._post_mortem(child)
        if "reason" in header:
            raise DecodeError(header["reason"], header["message"])
        return _crops(header, body, spec)

    def close(self) -> None:
        """End the child, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                with contextlib.suppress(BrokenPipeError):
                    _pipe(pipe).close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self.close()
        root = str(Path(__file__).parents[2])
        self._child = subprocess.Popen(
            [sys.executable, "-m", "pipelines.images.guarded_decoder", json.dumps(self._settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=root,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])},
        )
        if self._message(self._child)[0] is None:
            code = self._child.wait()
            self.close()
            raise RuntimeError(f"the decoder process ended with code {code} before any image")
        return self._child

    def _message(self, child: subprocess.Popen[bytes]) -> tuple[dict[str, Any] | None, bytes]:
        """The child's next message; (None, b"") if it died, or had to be killed."""
        pipe = _pipe(child.stdout)
        patience_s = self._settings[1] + _GRACE_S
        if not select.select([pipe], [], [], patience_s)[0]:
            child.send_signal(signal.SIGALRM)
            child.kill()
        return _read(pipe)

    def _post_mortem(self, child: subprocess.Popen[bytes]) -> DecodeError:
        """What the death of the child says about the image."""
        _, timeout_s, memory_bytes = self._settings
        code = child.wait()
        self.close()
        if code == -signal.SIGALRM:
            return DecodeError("timeout", f"decoding took longer than {timeout_s:g} s")
        if code == -signal.SIGKILL:
            limit = f"{memory_bytes / 2**30:.1f} GiB"
            return DecodeError(
                "out_of_memory", f"the decoder was killed; it may use {limit} of memory"
            )
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return DecodeError("crashed", f"the decoder crashed ({name})")


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise ValueError("the child was started without pipes")
    return pipe


def _write(pipe: IO[bytes], header: dict[str, Any], body: bytes) -> None:
    text = json.dumps(header).encode()
    pipe.write(_HEAD.pack(len(body), len(text)))
    pipe.write(text)
    pipe.write(body)
    pipe.flush()


def _read(pipe: IO[bytes]) -> tuple[dict[str, Any] | None, bytes]:
    head = pipe.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None, b""
    body_bytes, text_bytes = _HEAD.unpack(head)
    text, body = pipe.read(text_bytes), pipe.read(body_bytes)
    if len(text) < text_bytes or len(body) < body_bytes:
        return None, b""
    return json.loads(text), body


def _question(spec: InputSpec, wanted: Wanted) -> dict[str, Any]:
    """What the child is asked, as JSON: `_asked` reads it."""
    search = dataclasses.asdict(wanted) if isinstance(wanted, FaceSearch) else None
    points = list(wanted) if isinstance(wanted, tuple) else None
    return {"spec": spec.to_json(), "search": search, "points": points}


def _asked(header: dict[str, Any]) -> tuple[InputSpec, Wanted]:
    wanted: Wanted = None
    if header["search"] is not None:
        wanted = FaceSearch(**header["search"])
    elif header["points"] is not None:
        wanted = tuple(header["points"])
    return InputSpec.from_json(header["spec"]), wanted


def _answer(crops: Crops) -> dict[str, Any]:
    """What the child says beside the pixels, as JSON: `_crops` reads it."""
    faces = None if crops.faces is None else [dataclasses.astuple(face) for face in crops.faces]
    known = {"width": crops.width, "height": crops.height, "skipped": crops.skipped}
    return {**known, "faces": faces}


def _crops(header: dict[str, Any], body: bytes, spec: InputSpec) -> Crops:
    pixels = np.frombuffer(body, dtype=np.uint8).reshape(-1, *spec.shape)
    faces = header.pop("faces")
    if faces is not None:
        faces = tuple(Face(*box, points=tuple(points), score=s) for *box, points, s in faces)
    return Crops(pixels, faces, **header)


def main() -> None:
    """The child: decode what comes in on stdin until it is closed."""
    decoder, timeout_s, memory_bytes = json.loads(sys.argv[1])
    with open(os.dup(0), "rb") as inbox, open(os.dup(1), "wb") as outbox:
        os.dup2(2, 1)  # a library that prints must not garble the answers
        decode = ended_at_once(find_decoder(decoder), timeout_s)
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _write(outbox, {"ready": True}, b"")
        while True:
            header, data = _read(inbox)
            if header is None:
                return
            try:
                crops = decode(data, *_asked(header))
            except DecodeError as error:
                _write(outbox, {"reason": error.reason, "message": str(error)}, b"")
                continue
            except MemoryError:
                message = "there was not enough memory to decode it"
                _write(outbox, {"reason": "out_of_memory", "message": message}, b"")
                continue
            _write(outbox, _answer(crops), crops.pixels.tobytes())


if __name__ == "__main__":
    main()
