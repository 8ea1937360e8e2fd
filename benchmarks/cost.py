"""What a scoring run costs on cluster.yaml's machines: `python -m benchmarks.cost`.

A calculation, no measurement: rates come from docs/benchmarks/scoring.md, prices are list prices,
and what is neither is named an assumption. Writes the table of docs/scale.md.
"""

import dataclasses
import math

from benchmarks import harness
from pipelines.predictions.frozen_inputs import shard_rows

# Measured, 2026-11-26: 2,373 images/s on 2 cores, the shipped bundle in int8, chips scored whole,
# the median of three turns (docs/benchmarks/scoring.md).
IMAGES_PER_S_CORE = 2_373 / 2
# List prices, us-east-1, Linux, on demand: https://aws.amazon.com/ec2/pricing/on-demand/ and
# https://aws.amazon.com/s3/pricing/ (S3 Standard). As of 2025.
CPU_NODE_USD_H, HEAD_USD_H = 0.714, 0.2016  # c7i.4xlarge (16 vCPU), m7i.xlarge
GET_USD, PUT_USD = 0.0004 / 1000, 0.005 / 1000  # LIST costs what PUT does; DELETE nothing
# S3 serves at least so many GETs a second for each prefix that it has split off:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html
GETS_PER_S_PREFIX = 5_500
# Assumptions, none of them measured: a vCPU of c7i does what a core did above; 48 cores lose a
# tenth to each other; a node needs 300 s from request to first image; it idles 600 s at the end
# (cluster.yaml); spot costs 0.4 of the list price.
CORES, EFFICIENCY, START_S, IDLE_S, SPOT = 16, 0.9, 300, 600, 0.4


def shards_of(images: int) -> int:
    """Shards of so many images of usual size: few bytes, so their rows alone decide."""
    shards = 0
    while images > 0:
        images, shards = images - shard_rows(shards), shards + 1
    return shards


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of `images` on `nodes` CPU nodes over `prefixes` prefixes that S3 has split off."""

    images: int
    nodes: int
    prefixes: int

    @property
    def images_per_s(self) -> float:
        """The slower of cores and store."""
        cores = IMAGES_PER_S_CORE * CORES * self.nodes * EFFICIENCY
        return min(cores, GETS_PER_S_PREFIX * self.prefixes)

    @property
    def hours(self) -> float:
        """From `ray job submit` to the last row."""
        return (START_S + self.images / self.images_per_s) / 3600

    def machines_usd(self, share_of_list_price: float = 1.0) -> float:
        """Workers from request to idle end, and the head."""
        billed = self.hours + IDLE_S / 3600
        return billed * (self.nodes * CPU_NODE_USD_H * share_of_list_price + HEAD_USD_H)

    @property
    def requests_usd(self) -> float:
        """A GET an image, a LIST per 1,000, and six requests a shard (docs/scale.md)."""
        lists = math.ceil(self.images / 1000)
        shards = shards_of(self.images)
        return self.images * GET_USD + (lists + 4 * shards) * PUT_USD + 2 * shards * GET_USD


RUNS = (Run(10**6, 1, 1), Run(10**8, 1, 1), Run(10**8, 3, 8), Run(10**9, 3, 8))


def table() -> list[str]:
    """Markdown."""
    head = ("images:", "CPU nodes:", "prefixes:", "images/s:", "hours:", "machines, list USD:",
            "machines, spot USD:", "S3 requests USD:", "in all, spot USD:",
            "USD a million:")  # fmt: skip
    rows = list[list[str]]()
    for run in RUNS:
        spot = run.machines_usd(SPOT)
        total = spot + run.requests_usd
        usd = (run.machines_usd(), spot, run.requests_usd, total, total / run.images * 1e6)
        rows.append(
            [f"{run.images:,}", f"{run.nodes}", f"{run.prefixes}", f"{run.images_per_s:,.0f}",
             f"{run.hours:,.2f}", *(f"{value:,.2f}" for value in usd)]
        )  # fmt: skip
    return harness.table(head, rows)


def main() -> None:
    """Put it into the page."""
    given = harness.parsed(harness.arguments(__doc__, "scale.md"))
    given.page.write_text(harness.with_part(given.page.read_text(), "cost", table()))


if __name__ == "__main__":
    main()
