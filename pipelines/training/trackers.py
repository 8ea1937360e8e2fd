"""Sends a training run's figures to TensorBoard, and to MLflow if asked for."""

import contextlib
import shutil
import tempfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from model.errors import UsageError
from pipelines import storage
from pipelines.storage import tables
from pipelines.telemetry.log import note
from pipelines.training import layout
from pipelines.training.job import TrainingJob


class TensorBoard:
    """Scalars by epoch, in OUTPUT/tensorboard."""

    def __init__(self, output: str) -> None:
        """Write to `output`, a local folder or an s3:// prefix."""
        from tensorboardX import SummaryWriter  # half a second to import

        self.uri = storage.join(output, layout.TENSORBOARD)
        self.remote = not storage.is_local(output)
        self.folder = tempfile.mkdtemp(prefix="facemill-events-") if self.remote else self.uri
        self._writer: Any = SummaryWriter(self.folder)

    def epoch(self, row: Mapping[str, float]) -> None:
        """One point in each curve; train_loss is shown as train/loss."""
        for name, value in row.items():
            if name != "epoch":
                split, _, rest = name.partition("_")
                tag = f"{split}/{rest}" if split in ("train", "val") else f"run/{name}"
                self._writer.add_scalar(tag, value, int(row["epoch"]))
        self._writer.flush()
        self._upload()  # a killed driver leaves what it knew

    def finish(self, metrics: Mapping[str, float]) -> None:
        """The end's figures as curves of one point."""
        for name, value in metrics.items():
            self._writer.add_scalar(f"bundle/{name}", value, 0)

    def close(self) -> None:
        """Flush, and put the events where the run is."""
        self._writer.close()
        self._upload()
        if self.remote:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _upload(self) -> None:
        """Put the events where the run is; a file is small and is put whole each time."""
        if self.remote:
            for path in Path(self.folder).iterdir():
                storage.write_bytes(storage.join(self.uri, path.name), path.read_bytes())


class MlFlow:
    """One MLflow run a training output; a resumed training goes on in it."""

    def __init__(self, job: TrainingJob, identity: Mapping[str, Any]) -> None:
        """Start the run, or resume it.

        Raises:
            UsageError: MLflow is not installed, or the server cannot be reached.
        """
        try:
            import mlflow
        except ImportError:
            raise UsageError(
                "`mlflow_uri` needs the package mlflow-skinny: pip install 'mlflow-skinny>=3'"
            ) from None
        uri = job.options.run.mlflow_uri or ""
        if "@" in uri.partition("://")[2].partition("/")[0]:
            raise UsageError(
                "`mlflow_uri` holds a credential: give it as MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD"
            )
        record_uri = storage.join(job.output, layout.MLFLOW)
        try:
            self._client: Any = mlflow.MlflowClient(tracking_uri=uri)
            if storage.exists(record_uri):
                self.run = str(tables.read_json(record_uri)["run_id"])
                self._client.update_run(self.run, status="RUNNING")
                return
            experiment = self._client.get_experiment_by_name("facemill")
            experiment_id = (
                experiment.experiment_id
                if experiment
                else self._client.create_experiment("facemill")
            )
            self.run = self._client.create_run(experiment_id, run_name=job.recipe.name).info.run_id
            [flat] = pd.json_normalize(dict(identity)).to_dict("records")  # recipe.optimizer.name
            for name, value in flat.items():
                self._client.log_param(self.run, name, str(value)[:500])
        except Exception as error:  # MLflow's own tree and requests' and SQLAlchemy's
            raise UsageError(f"`mlflow_uri` {uri} cannot be used: {_first_line(error)}") from None
        tables.write_json(record_uri, {"run_id": self.run, "mlflow_uri": uri})

    def epoch(self, row: Mapping[str, float]) -> None:
        """One point in each curve."""
        for name, value in row.items():
            if name != "epoch":
                self._client.log_metric(self.run, name, float(value), step=int(row["epoch"]))

    def finish(self, metrics: Mapping[str, float]) -> None:
        """The end's figures."""
        for name, value in metrics.items():
            self._client.log_metric(self.run, name.replace("/", "_"), float(value))
        self._client.set_terminated(self.run, "FINISHED")
        self.run = ""

    def close(self) -> None:
        """An unfinished run is marked as killed, until it is resumed."""
        if self.run:
            self._client.set_terminated(self.run, "KILLED")


class Trackers:
    """All trackers of a run; one that fails is noted and stops no training."""

    def __init__(self, each: Sequence[Any]) -> None:
        """Pass everything on to each of `each`: epochs, the end's metrics, and the end."""
        self.each = list(each)

    def epoch(self, row: Mapping[str, float]) -> None:
        """Pass a history row on."""
        self._tell("epoch", row)

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Pass the bundle's metrics on, by split, each {value, low, high, images}."""
        flat = {
            f"{split}/{name}": float(value["value"] if isinstance(value, dict) else value)
            for split, measured in metrics.items()
            for name, value in measured.items()
        }
        self._tell("finish", flat)

    def close(self) -> None:
        """End, whether all went well or not."""
        self._tell("close")

    def _tell(self, what: str, *values: Mapping[str, float]) -> None:
        for tracker in self.each:
            try:
                getattr(tracker, what)(*values)
            except Exception as error:
                note(f"warning: {type(tracker).__name__}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


@contextlib.contextmanager
def open_trackers(job: TrainingJob, identity: Mapping[str, Any]) -> Generator[Trackers]:
    """The trackers of a run, closed at its end.

    Raises:
        UsageError: `mlflow_uri` cannot be used.
    """
    each: list[Any] = [TensorBoard(job.output)]
    if job.options.run.mlflow_uri:
        each.append(MlFlow(job, identity))
    with contextlib.closing(Trackers(each)) as trackers:
        yield trackers
