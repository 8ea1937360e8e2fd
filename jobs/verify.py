"""Prove that a scoring run is complete: `python -m jobs.verify --output URI`.

Reads every file that jobs.score wrote below --output and changes nothing. Exit code 0: each input
is one row of predictions or quarantine, none is there twice, every file is as committed, and all
are by one bundle. Exit code 1: lists what is wrong, line by line.
"""

import dataclasses
from collections.abc import Sequence

from jobs import cli
from model.errors import FacemillError
from pipelines import storage


@dataclasses.dataclass(frozen=True)
class VerifyOptions:
    """What to verify."""

    output: str
    """Folder or prefix (s3://, gs://, az://) that jobs.score wrote."""


def job(options: VerifyOptions) -> None:
    """Verify and print the proof, or what is wrong."""
    from pipelines.predictions.verification import verify

    output = storage.normalize(options.output)
    storage.require_readable(output, "`output`")
    proof = verify(output)
    if proof.problems:
        for problem in proof.problems:
            print(f"- {problem}")
        raise FacemillError(f"{output} is not whole: {len(proof.problems)} problems, listed above")
    cli.print_table(
        f"verified {output}",
        [
            (
                "inputs",
                f"{proof.inputs:,} = {proof.scored:,} scored + {proof.quarantined:,} quarantined",
            ),
            ("uris", "each in exactly one row of its own shard, none twice")
            if proof.rows == proof.scored
            else ("faces", f"{proof.rows:,}, numbered without a gap in each image, none twice"),
            ("files", f"{proof.files:,}, rows and SHA-256 as committed"),
            ("bundle", f"{proof.bundle_id}, in every row"),
        ],
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(VerifyOptions, job, argv)


if __name__ == "__main__":
    main()
