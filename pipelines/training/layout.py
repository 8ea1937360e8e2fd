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
"""

RECORD = "train.json"
DECODED, TEACHERS, CHECKPOINTS, TENSORBOARD = "decoded", "teachers", "checkpoints", "tensorboard"
MLFLOW = "mlflow.json"
WEIGHTS, HISTORY, CURVES, NETWORK = "weights.npz", "history.parquet", "curves.png", "network.png"
BUNDLE = "bundle"
