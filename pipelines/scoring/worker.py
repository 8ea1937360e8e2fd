"""The worker of scoring: the network once, then shard after shard, each committed by itself.

output/quarantine/shard-00042.parquet     put first
output/predictions/shard-00042.parquet    put last: its existence is the commit
output/attempts/shard-00042.json          there while the shard is being scored
"""

import dataclasses
import errno
import os
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import ray

from model.backends.selection import abilities, lacks
from model.errors import FacemillError, StorageError
from model.predictor import Predictor
from model.runtime import has_gpu
from pipelines import storage
from pipelines.bundles.opening import open_bundle
from pipelines.images.batches import DecodeEntries, decode_entries_with
from pipelines.images.decode_tasks import CHUNK_IMAGES, DecodeStage
from pipelines.images.guarded_decoder import Decode, IsolatedDecoder, ended_at_once, find_decoder
from pipelines.predictions import layout
from pipelines.predictions.frozen_inputs import INPUT_COLUMNS
from pipelines.predictions.run_record import ShardRecord, notes_of, reasons_of
from pipelines.predictions.schemas import with_passthrough
from pipelines.scoring.placement import Placement
from pipelines.scoring.plan import ShardSettings
from pipelines.scoring.progress import Reporter
from pipelines.scoring.rows import BATCH_IMAGES, score_entries
from pipelines.storage import tables

# A shard begun this often kills its workers for another reason than its images, which from the
# second try on are decoded in a process of their own.
MAX_ATTEMPTS = 12
Result = TypeVar("Result")
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
_NO_WAIT_CURES = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
# A worker that cannot compute as the run does holds a shard so long before it gives it back, so
# that it does not run through all of them while others compute.
_UNABLE_WAIT_S = 5.0


class Attempts:
    """How often a shard was begun; kept in the output, as whoever counts in memory dies too."""

    def __init__(self, output: str, index: int) -> None:
        """Name the file of one shard."""
        self.uri = layout.attempts(output, index)

    def begin(self) -> int:
        """Count one more; returns how often the shard was begun before."""
        try:
            before = int(tables.read_json(self.uri)["begun"])
        except (FileNotFoundError, StorageError, ValueError, TypeError, KeyError):
            before = 0
        # After the last one the count starts anew, so that a person's next run may try again.
        tables.write_json(self.uri, {"begun": 1 if before >= MAX_ATTEMPTS else before + 1})
        return before

    def end(self) -> None:
        """Forget them: the shard is committed."""
        storage.delete(self.uri)


class ShardScorer:
    """Scores whole shards, with all stages in this process or with decoding as Ray tasks.

    On a CPU the network is the cost, not the decode, so a separate decode stage would leave a
    core idle (202-223 against 375-426 images/s on two cores); beside a GPU it is the other way.
    """

    def __init__(self, settings: ShardSettings, placement: Placement, tally: Any = None) -> None:
        """Load the output's copy of the bundle on one thread; tell `tally` of progress.

        From the output and not as an argument: Ray cannot restart an actor whose large
        constructor arguments were lost with their node (ray#53727).
        """
        self.settings, self.tally = settings, tally
        self.limits = settings.limits
        self.bundle = open_bundle(layout.path(settings.output, layout.BUNDLE))
        self.lack = lacks(settings.compute, self.bundle, abilities(), emulated=True)
        if self.lack is not None:  # a machine that joined later: see `_compute` in plan.py
            return
        if not placement.use_gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # or every worker would take a share of it
        self.predictor = Predictor(
            self.bundle,
            settings.compute,
            CHUNK_IMAGES if placement.use_gpu else BATCH_IMAGES,
            threads=None if placement.use_gpu else 1,
            views=settings.tta,
        )
        self.device = "GPU" if placement.use_gpu and has_gpu() else "CPU"
        decoder, timeout_s = self.limits.decoder, self.limits.image_timeout_s
        self.decode: DecodeEntries = (
            DecodeStage(decoder, timeout_s, settings.search, settings.shape)
            if placement.use_gpu
            else self._decode_with(ended_at_once(find_decoder(decoder), timeout_s))
        )

    def _decode_with(self, decode: Decode) -> DecodeEntries:
        return decode_entries_with(decode, self.settings.search, self.settings.shape)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Score one shard a row and commit it; returns the columns of `ShardRecord`."""
        act = self._give_back if self.lack is not None else self._score_shard
        records = [dataclasses.asdict(act(int(index))) for index in batch["shard"]]
        return {name: np.array([record[name] for record in records]) for name in records[0]}

    def _give_back(self, index: int) -> ShardRecord:
        """Leave a shard to a machine that computes as the run does."""
        time.sleep(_UNABLE_WAIT_S)
        node = ray.get_runtime_context().get_node_id()
        return ShardRecord(index, 0, 0, "", "", "{}", unable=str(self.lack), node=node)

    def _score_shard(self, index: int) -> ShardRecord:
        """Score a shard; one that was begun before killed its worker, so it is decoded apart."""
        attempts = Attempts(self.settings.output, index)
        timeout_s = self.limits.store_timeout_s
        before = with_retries(attempts.begin, timeout_s)
        if before >= MAX_ATTEMPTS:
            raise FacemillError(
                f"shard {index} was begun {before} times and its worker died each time, even with "
                "its images decoded in a process of their own: is there enough memory?"
            )
        if not before:
            record = with_retries(lambda: self._commit(index, self.decode), timeout_s)
        else:
            isolated = IsolatedDecoder(self.limits.decoder, self.limits.image_timeout_s)
            try:
                record = with_retries(
                    lambda: self._commit(index, self._decode_with(isolated)), timeout_s
                )
            finally:
                isolated.close()
        with_retries(attempts.end, timeout_s)
        return record

    def _commit(self, index: int, decode: DecodeEntries) -> ShardRecord:
        began = time.time()
        output = self.settings.output
        inputs = tables.read_table(layout.shard(output, layout.INPUTS, index))
        entries = inputs.select(list(INPUT_COLUMNS)).to_pylist()
        on_batch = Reporter(self.tally, index).add
        scored = score_entries(
            entries, self.predictor, self.settings.reading, decode, on_batch,
            by_name=self.settings.by_name, columns=self.settings.columns,
        )  # fmt: skip
        good, bad = with_passthrough(scored.predictions, inputs), scored.quarantine
        notes = {
            "facemill.bundle_id": self.bundle.id,
            "facemill.run_id": self.settings.run_id,
            "facemill.inputs": str(len(entries)),
        }
        # Quarantine first: the predictions file is the commit and must find all else in place.
        bad_sum = tables.write_table(layout.shard(output, "quarantine", index), bad, notes)
        notes["facemill.quarantine_sha256"] = bad_sum
        notes |= notes_of(scored.skipped)
        good_sum = tables.write_table(layout.shard(output, "predictions", index), good, notes)
        return ShardRecord(
            index,
            scored.pictures,
            bad.num_rows,
            good_sum,
            bad_sum,
            reasons_of(bad),
            began,
            time.time(),
            self.device,
            good.num_rows,
            scored.skipped,
        )


def with_retries(act: Callable[[], Result], timeout_s: float) -> Result:
    """Do `act`, again and again with longer waits while the store fails; no row is made of that.

    Raises:
        OSError: it still fails after `timeout_s`, or no wait cures it: access is denied, a disk
            is full.
    """
    deadline = time.monotonic() + timeout_s
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            return act()
        except PermissionError:
            raise
        except OSError as error:
            if error.errno in _NO_WAIT_CURES:
                raise
            # Half the wait is drawn, so that a thousand workers do not come back at once.
            pause_s = wait_s * random.uniform(0.5, 1.0)
            if time.monotonic() + pause_s > deadline:
                raise
            time.sleep(pause_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
