"""A scoring run on hosts, disturbed, and what became of it."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from demo.drawn_faces import draw_faces
from pipelines import storage
from pipelines.predictions import frozen_inputs, schemas
from pipelines.predictions.verification import verify
from tests.hosts.cluster import HostCluster
from tests.photographs import encoded

BUCKET = "hosts"
_SIDE = 2400  # pixels of a flat PNG: some 60 kB, and a core decodes ten of them a second
_SHARD_ROWS = 6


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        submissions: how often the same command was given until it succeeded.
        after_s: seconds from the end of the fault to the end of the run, or of the repeated one.
        printed: what the user saw of it, a line each.
        problems: of the rows, against an undisturbed run's; none is right.
    """

    submissions: int
    after_s: float
    printed: tuple[str, ...]
    problems: tuple[str, ...]


def put_images(folder: Path, count: int) -> str:
    """Store so many images that take their time, and name their prefix."""
    faces = [path for path in draw_faces(folder, 8, seed=5) if path.suffix == ".jpg"]
    slow = list[bytes]()
    for face in faces[:8]:
        small = Image.open(face).convert("RGB").resize((48, 48)).quantize(16).convert("RGB")
        slow.append(encoded(small.resize((_SIDE, _SIDE), Image.Resampling.NEAREST)))
    for number in range(count):
        storage.write_bytes(f"s3://{BUCKET}/faces/{number:04d}.png", slow[number % len(slow)])
    return f"s3://{BUCKET}/faces"


class ScoringRun:
    """One output of `jobs.score`, submitted as often as it takes."""

    def __init__(self, cluster: HostCluster, images: str, output: str) -> None:
        """Name it; nothing is submitted."""
        self.cluster, self.output = cluster, output
        self.command = (
            "jobs.score", "--faces", "crop", "--images", images, "--output", output,
            "--shard-rows", str(_SHARD_ROWS),
        )  # fmt: skip
        self.job = ""

    def submit(self) -> None:
        """Give the command once more."""
        self.job = self.cluster.submit(*self.command)

    def committed(self) -> int:
        """Shards that are there."""
        begun = storage.exists(f"{self.output}/job.json")
        return len(frozen_inputs.committed(self.output)) if begun else 0

    def begin(self) -> None:
        """Submit, and wait until it is well under way."""
        self.submit()
        self.cluster.while_it_runs(self.job, lambda: self.committed() >= 4, "four shards")

    def end(
        self, since: float, expected: dict[str, object] | None, timeout_s: float = 420
    ) -> Outcome:
        """Wait for its end, give the command again where it failed, and compare the rows.

        Args:
            since: `time.monotonic()` from which to count.
            expected: rows of an undisturbed run, if there are any.
            timeout_s: of each submission.
        """
        printed, submissions = list[str](), 1
        while True:
            known = self.cluster.info(self.job)  # nothing, on a head that came after the job
            details = self.cluster.wait(self.job, timeout_s) if known else {"status": "LOST"}
            lines = self.cluster.logs(self.job).splitlines()
            printed += [line for line in lines if line.startswith(("note:", "error:", "failed:"))]
            if details["status"] == "SUCCEEDED":
                break
            if submissions == 3:
                printed.append("\n".join(lines[-15:]))
                break
            submissions += 1
            self.submit()
        after_s = time.monotonic() - since
        problems = [str(problem) for problem in verify(self.output).problems]
        if expected is not None and (rows := rows_of(self.output)) != expected:
            wrong = {uri for uri in {*rows, *expected} if rows.get(uri) != expected.get(uri)}
            problems.append(f"{len(wrong)} rows differ, such as {min(wrong)}")
        return Outcome(submissions, after_s, tuple(dict.fromkeys(printed)), tuple(problems))


def rows_of(output: str) -> dict[str, object]:
    """The rows of each image, without what names the run; doubled rows are an error."""
    rows = schemas.read_predictions(output).to_pylist()
    found = dict[str, object]()
    for row in rows:
        found[row["uri"]] = tuple(v for k, v in sorted(row.items()) if k != "run_id")
    assert len(found) == len(rows), "a picture has two rows"
    bad = schemas.read_quarantine(output).to_pylist()
    return found | {row["uri"]: row["error"] for row in bad}


def disturbed(
    cluster: HostCluster, images: str, output: str, expected: dict[str, object],
    fault: Callable[[], None], heal: Callable[[], None], hold_s: float,
) -> Outcome:  # fmt: skip
    """A run in the midst of which something happens for a while.

    Args:
        cluster: whole.
        images: their prefix.
        output: of the run.
        expected: rows of an undisturbed run.
        fault: begins it.
        heal: ends it.
        hold_s: how long it lasts.
    """
    run = ScoringRun(cluster, images, output)
    run.begin()
    fault()
    time.sleep(hold_s)
    heal()
    return run.end(time.monotonic(), expected)
