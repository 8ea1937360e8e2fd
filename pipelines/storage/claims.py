"""Which run an output belongs to: one file says what that run does; any other is refused."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from model.errors import UsageError
from pipelines import storage
from pipelines.storage import tables


@dataclasses.dataclass(frozen=True)
class Claim:
    """What a job would do in an output.

    Attributes:
        output: folder or prefix.
        file: name of the file that says whose it is, e.g. `job.json`.
        kind: of the run, in words, e.g. `scoring run`.
        identity: all that decides what the run writes.
        before: the value that a key has in records that lack it.
        under: key of the record below which the identity stands; '' for the record itself.
        advice: what else to do where another run is there.
        newest: `format` of the file that is known.
    """

    output: str
    file: str
    kind: str
    identity: Mapping[str, Any]
    before: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    under: str = ""
    advice: str = "repeat the arguments of that run to resume it"
    newest: int = 1

    def record(self) -> dict[str, Any] | None:
        """What the file says, or None if the output is free.

        Raises:
            StorageError: it is damaged, or a newer facemill wrote it.
        """
        try:
            uri = storage.join(self.output, self.file)
            record = tables.read_json(uri)
        except FileNotFoundError:
            return None
        tables.require_known(uri, record, self.newest)
        return record

    def differences(self) -> list[str]:
        """`recipe.epochs was 12, is 3` for whatever the run in the output did otherwise."""
        return self._differences_from(self.record())

    def _differences_from(self, record: Mapping[str, Any] | None) -> list[str]:
        if record is None:
            return []
        stated = record.get(self.under, {}) if self.under else record
        known = {key: stated[key] for key in (*self.identity, *self.before) if key in stated}
        return differences({**self.before, **known}, {**self.before, **tables.plain(self.identity)})

    def require_own(self) -> dict[str, Any] | None:
        """The record of the same run begun earlier, or None if the output is free.

        Raises:
            UsageError: another run is there; the message names what differs.
        """
        record = self.record()
        different = self._differences_from(record)
        if different:
            raise UsageError(
                f"`output` {self.output} holds another {self.kind} ({'; '.join(different)}): "
                f"choose another `output`{self.advice and f', or {self.advice}'}"
            )
        return record

    def take(self, more: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The record: of the same run begun earlier, or written now with `more` beside it.

        Raises:
            UsageError: another run is there.
        """
        record = self.require_own()
        if record is None:
            record = {**tables.plain(self.identity), **more()}
            tables.write_json(storage.join(self.output, self.file), record)
        return record


def differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> list[str]:
    """`recipe.epochs was 12, is 3` for every leaf that differs."""
    changes: list[str] = []
    for key in [*now, *(key for key in before if key not in now)]:
        old, new, name = before.get(key), now.get(key), f"{path}{key}"
        if isinstance(old, dict) and isinstance(new, dict):
            changes += differences(old, new, f"{name}.")  # type: ignore[arg-type]
        elif old != new:
            changes.append(f"{name} was {old!r}, is {new!r}")
    return changes
