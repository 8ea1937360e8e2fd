"""A reader who looks at an output at every instant of a run, with DuckDB and with pyarrow."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

from pipelines.storage import writes
from tests.robustness.crash_points import cases
from tests.robustness.crash_points.trial import Point, Trial, child

# These take rows away until they are scored again, as their documentation says.
_VANISHING = ("update", "mirror", "retry")


class Reader:
    """Looks at every write of this process, before, amid and after it; raises at what is wrong."""

    def __init__(self, output: str, may_vanish: bool, seen: set[Any]) -> None:
        """`seen` are keys that were there before."""
        self.output, self.may_vanish, self.seen = output, may_vanish, seen
        self.looks = 0

    def __call__(self, *event: str) -> None:
        try:
            self.look()
        except Exception as error:
            raise SystemExit(f"at {event}: {type(error).__name__}: {error}") from None

    def look(self) -> None:
        """Read everything that is there."""
        self.looks += 1
        keys = self._predictions()
        vanished = self.seen - keys
        assert not vanished or self.may_vanish, f"rows vanished: {sorted(vanished)[:3]}"
        self.seen |= keys
        for marker in ("run.json", "dataset.json"):
            self._marked(marker)

    def _predictions(self) -> set[Any]:
        files = list(Path(self.output, "predictions").glob("*.parquet"))
        if not files:
            return set()
        import duckdb  # in the child alone: at its end it complains of what it leaks

        with duckdb.connect(config={"threads": 1}) as connection:
            rows = connection.execute(
                "select uri, coalesce(face, -1), count(*) from read_parquet(?) group by all",
                [f"{self.output}/predictions/*.parquet"],
            ).fetchall()
        keys = {(uri, face) for uri, face, _ in rows}
        doubled = [uri for uri, _, count in rows if count > 1]
        assert not doubled, f"rows are there twice: {doubled[:3]}"
        table = ds.dataset(f"{self.output}/predictions", format="parquet").to_table(["uri"])
        assert table.num_rows == len(rows), "pyarrow sees other rows than DuckDB"
        bad = Path(self.output, "quarantine")
        rejected = set(ds.dataset(bad, format="parquet").to_table(["uri"])["uri"].to_pylist())
        both = rejected & {uri for uri, _ in keys}
        assert not both, f"scored and in quarantine: {sorted(both)[:3]}"
        return keys

    def _marked(self, marker: str) -> None:
        """What says that it is finished must name files that are there, as they are."""
        path = Path(self.output, marker)
        if not path.exists():
            return
        for name, file in json.loads(path.read_text())["files"].items():
            data = Path(self.output, name).read_bytes()
            assert hashlib.sha256(data).hexdigest() == file["sha256"], f"{marker}: {name}"


def looked_at(trial: Trial, every: int) -> Iterator[str]:
    """Run a case with a reader, and again after each `every`-th death; what the reader missed."""
    may_vanish = any(word in trial.case.name for word in _VANISHING)
    points: list[Point | None] = [None]
    points += [Point("after", at) for at in range(1, trial.writes + 1, every)]
    for point in points:
        trial.restore()
        looks = trial.place / "looks"
        looks.unlink(missing_ok=True)
        if point is not None:
            trial.stopped(point)

        def act(looks: Path = looks) -> None:
            reader = Reader(trial.output, may_vanish, set())
            reader("the start")
            with writes.watched(reader):
                trial.case.act(trial.place, trial.output)
            reader("the end")
            looks.write_text(str(reader.looks))

        ended = child(act)
        if ended.code or not looks.exists() or int(looks.read_text()) < 3:
            yield f"{trial.case.name}, {point}: {ended.said}"


def cases_with_predictions() -> Iterator[cases.Case]:
    """Those whose output a reader may be looking at."""
    return (case for case in cases.CASES if case.name.startswith("score"))
