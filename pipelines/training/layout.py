"""Where the files of a training's output lie: every name, once.

OUTPUT/train.json            what the run is; written first
OUTPUT/lease.json            the driver at work
OUTPUT/decoded/              pixels of train and val, while the run lasts
OUTPUT/teachers/             bundles that teach, copied
OUTPUT/checkpoints/          Ray Train's
OUTPUT/tensorboard/          events
OUTPUT/mlflow.json           the MLflow run, if there is one
OUTPUT/weights.npz           of the best epoch, as training has them: with batch norm, all heads
OUTPUT/history.parquet, curves.png, network.png
OUTPUT/bundle/               its record is written last of all: the run is finished

With folds there are instead
OUTPUT/train.json, lease.json, decoded/   of the whole run
OUTPUT/fold-0/, fold-1/, …   a training's output each, and
OUTPUT/fold-0/out_of_fold.parquet         its answers for the images that it did not see
OUTPUT/out_of_fold.parquet, label_issues.parquet, metrics.json   of all folds
OUTPUT/final/                a training's output: the network that saw every label
"""

from pipelines.predictions import layout

RECORD = "train.json"
DECODED, TEACHERS, CHECKPOINTS, TENSORBOARD = "decoded", "teachers", "checkpoints", "tensorboard"
MLFLOW = "mlflow.json"
WEIGHTS, HISTORY, CURVES, NETWORK = "weights.npz", "history.parquet", "curves.png", "network.png"
BUNDLE = "bundle"
OUT_OF_FOLD, LABEL_ISSUES = layout.OUT_OF_FOLD, layout.LABEL_ISSUES
EVALUATION, METRICS = layout.EVALUATION, layout.METRICS
FINAL = "final"


def fold(index: int) -> str:
    """The folder of one fold's training."""
    return f"fold-{index}"
