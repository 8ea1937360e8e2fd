"""Decoding as Ray tasks on CPUs, for workers whose network runs on a GPU.

A GPU takes more images than the cores beside it decode, so there the two stages scale apart: the
worker of a shard keeps its GPU and hands out its images in chunks; Ray places them on any core of
the cluster, and only uint8 pixels come back. The worker still commits its shard by itself.
"""

import collections
from collections.abc import Iterator
from typing import Any

import ray
import ray.exceptions

from model.faces.crops import Wanted
from model.preprocessing import InputSpec
from pipelines.cluster.errors import cause_of
from pipelines.images.batches import CropShape, DecodedBatch, decode_entries
from pipelines.images.guarded_decoder import IsolatedDecoder, ended_at_once, find_decoder

_LEAST_IN_FLIGHT = 16
CHUNK_IMAGES = 256  # 7 MB of pixels at 96x96x3: few enough to balance, many enough to hide a task
_CHUNK_PHOTOGRAPHS = 32  # seconds of finding; 500 faces in each would be 440 MB


class DecodeStage:
    """Called like `batches.decode_entries`, but decodes elsewhere."""

    def __init__(
        self,
        decoder: str,
        timeout_s: float,
        wanted: Wanted = None,
        shape: CropShape | None = None,
    ) -> None:
        """Remember how to decode.

        Args:
            decoder: `module:function`.
            timeout_s: an image that takes longer costs its task, which is then done apart.
            wanted: what of each image.
            shape: of face crops.
        """
        self._settings, self._wanted = (decoder, timeout_s), (wanted, shape)

    def __call__(
        self, entries: list[dict[str, Any]], spec: InputSpec, batch_size: int
    ) -> Iterator[DecodedBatch]:
        """Decode chunks of entries on the cluster; they come back in order, as batches of any size.

        Raises:
            OSError: the store fails.
        """
        del batch_size  # the network fills up its own batches out of a chunk
        step = CHUNK_IMAGES if self._wanted[0] is None else _CHUNK_PHOTOGRAPHS
        chunks = [entries[start : start + step] for start in range(0, len(entries), step)]
        # One CPU each; as many wait as run, so that no core idles between two. Asked anew for each
        # shard, as nodes come and go, and never fewer than makes an autoscaler bring some.
        in_flight = max(_LEAST_IN_FLIGHT, 2 * int(ray.cluster_resources().get("CPU", 1)))
        window = collections.deque[tuple[list[dict[str, Any]], Any]]()
        for chunk in chunks:
            task = _decode_chunk.remote(chunk, spec, *self._settings, *self._wanted)
            window.append((chunk, task))
            if len(window) >= in_flight:
                yield from self._result(*window.popleft(), spec)
        while window:
            yield from self._result(*window.popleft(), spec)

    def _result(
        self, chunk: list[dict[str, Any]], task: Any, spec: InputSpec
    ) -> list[DecodedBatch]:
        """The chunk's images; where its process died, decoded apart, so one image pays for it."""
        try:
            return ray.get(task)
        except ray.exceptions.RayTaskError as error:
            if isinstance(cause := cause_of(error), OSError):
                raise cause from None
            raise
        except ray.exceptions.RayError:  # its worker or its node died
            isolated = IsolatedDecoder(*self._settings)
            try:
                return list(decode_entries(chunk, spec, len(chunk), isolated, *self._wanted))
            finally:
                isolated.close()


@ray.remote(num_cpus=1, max_retries=0)
def _decode_chunk(
    chunk: list[dict[str, Any]],
    spec: InputSpec,
    decoder: str,
    timeout_s: float,
    wanted: Wanted,
    shape: CropShape | None,
) -> list[DecodedBatch]:
    decode = ended_at_once(find_decoder(decoder), timeout_s)
    return list(decode_entries(chunk, spec, len(chunk), decode, wanted, shape))
