"""Where the files of a scoring output lie: every name, once.

OUTPUT/job.json                           what the run is; written first
OUTPUT/lease.json                         the driver at work
OUTPUT/bundle/                            the network, copied
OUTPUT/inputs/shard-00042.parquet         the frozen list of inputs
OUTPUT/inputs/frozen.json                 written last of the list
OUTPUT/inputs/growing.json                there while the list is being changed
OUTPUT/retrying.json                      there while failed inputs are scored again
OUTPUT/attempts/shard-00042.json          there while the shard is being scored
OUTPUT/quarantine/shard-00042.parquet     put first
OUTPUT/predictions/shard-00042.parquet    put last: its existence is the commit
OUTPUT/deleted.parquet                    uris that are listed no more
OUTPUT/run.json                           written last of all: the run is finished
OUTPUT/dataset/, OUTPUT/dataset.json      the predictions laid out once more
OUTPUT/evaluation.parquet, metrics.json   of jobs.evaluate

A training with folds leaves
OUTPUT/out_of_fold.parquet, label_issues.parquet, metrics.json
"""

from typing import Literal

from pipelines import storage

JOB = "job.json"
RUN = "run.json"
BUNDLE = "bundle"
FROZEN, GROWING = "inputs/frozen.json", "inputs/growing.json"
RETRYING = "retrying.json"
DELETED = "deleted.parquet"
DATASET, DATASET_RECORD = "dataset", "dataset.json"
EVALUATION, METRICS = "evaluation.parquet", "metrics.json"
OUT_OF_FOLD, LABEL_ISSUES = "out_of_fold.parquet", "label_issues.parquet"
Kind = Literal["inputs", "quarantine", "predictions"]
INPUTS: Kind = "inputs"
QUARANTINE: Kind = "quarantine"
PREDICTIONS: Kind = "predictions"
ATTEMPTS = "attempts"
ROWS: tuple[Kind, ...] = ("predictions", "quarantine")  # together one row for every input


def path(output: str, name: str) -> str:
    """URI of a file or folder of `output`, one of the names above."""
    return storage.join(output, name)


def shard_file(index: int) -> str:
    """`shard-00042.parquet`."""
    return f"shard-{index:05d}.parquet"


def shard_name(kind: Kind, index: int) -> str:
    """`predictions/shard-00042.parquet`."""
    return f"{kind}/{shard_file(index)}"


def shard(output: str, kind: Kind, index: int) -> str:
    """URI of a shard's file."""
    return storage.join(output, shard_name(kind, index))


def shard_index(uri: str) -> int:
    """The number in a shard's file name."""
    return int(uri.rsplit("-", 1)[1].removesuffix(".parquet"))


def attempts(output: str, index: int) -> str:
    """URI of the count of a shard's beginnings."""
    return storage.join(output, f"{ATTEMPTS}/shard-{index:05d}.json")
