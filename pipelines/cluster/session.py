"""Starts this process's Ray: the cluster that RAY_ADDRESS names, or a local one."""

import json
import logging
import os
import re
import warnings
from typing import Any

from model.runtime import captured_stderr
from pipelines.cluster.starting import (
    JOIN_S,
    START_S,
    ended_in_time,
    other_temp_dir,
    require_address_space,
    require_reachable,
)
from pipelines.telemetry.log import JOB, RUN_ID
from pipelines.telemetry.phases import phase

# In the environment of every process: the chatter of TensorFlow, oneDNN, absl and Ray stays out,
# and nothing is reported to Ray's makers.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_DEPRECATION_WARNINGS": "0",
    "KERAS_BACKEND": "tensorflow",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_DEDUP_LOGS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    # Ray Data's own actors draw an ERROR about constructor arguments (ray#53727) in every run.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
# What a driver's environment says and workers on other nodes must know too. Never a key: Ray shows
# a runtime environment to whoever may see its dashboard (docs/security.md).
_PASSED_ON = re.compile(
    r"FACEMILL_\w+|AWS_ENDPOINT_URL(_S3)?|AWS_(DEFAULT_)?REGION|AWS_ALLOW_HTTP"
    r"|AWS_SKIP_SIGNATURE|AWS_REQUEST_PAYER|STORAGE_EMULATOR_HOST|GOOGLE_SKIP_SIGNATURE"
    r"|AZURE_STORAGE_ACCOUNT_NAME|AZURE_STORAGE_ENDPOINT|AZURE_SKIP_SIGNATURE"
)


def quiet_libraries() -> None:
    """Keep the chatter of libraries out; their errors still show."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    # Not by default: with `error` no process of Ray's would start.
    os.environ["PYTHONWARNINGS"] = "ignore"
    warnings.filterwarnings("ignore")
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    logging.getLogger("ray").setLevel(logging.ERROR)
    # Each network of a driver that measures several is traced once, of which it warns.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def joins_cluster() -> bool:
    """Whether this process works on a cluster that was there before it."""
    return bool(os.environ.get("RAY_ADDRESS"))


def start_ray() -> None:
    """Join the cluster that `RAY_ADDRESS` (or `ray job submit`) names, else start a local one.

    Raises:
        UsageError: RAY_ADDRESS names no cluster that answers.
        ResourcesError: Ray does not start, or the cluster has not one core to work on, and none
            can come.
    """
    if joins_cluster():  # before Ray is imported: a sentence shall not wait for that
        require_reachable(os.environ["RAY_ADDRESS"])
    import ray
    from ray.data import DataContext

    from pipelines.cluster.resources import ResourceRequest, require

    if not ray.is_initialized():
        # "local": never somebody else's cluster that happens to run on this machine.
        options: dict[str, Any] = (
            {"runtime_env": _runtime_env()}
            if joins_cluster()
            else {"address": "local", "include_dashboard": False, "_temp_dir": other_temp_dir()}
        )
        limit_s = JOIN_S if joins_cluster() else START_S
        if not joins_cluster():
            require_address_space()
        # Ray's core says how loud it will be.
        with phase("start_ray"), ended_in_time(limit_s), captured_stderr():
            ray.init(
                logging_level=logging.ERROR, log_to_driver=False, configure_logging=True, **options
            )
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.raise_original_map_exception = True  # else every failure reads "UDF failed to process"
    # Failures reach us as exceptions, told in a sentence; their traces are in Ray's own logs.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    require(ResourceRequest({"CPU": 1}))


def _runtime_env() -> dict[str, Any]:
    """What the nodes of a cluster, which inherit nothing from this process, are told.

    What `ray job submit --runtime-env-json` says already is left alone: Ray refuses to hear it
    twice. The run's id and job are for this process alone: with them every run would have an
    environment of its own, and where two share a working directory, a node that is new to both
    unpacks it twice, the second time under the feet of the first's workers (Ray 2.60,
    `download_and_unpack_package(overwrite=True)`; see `code_was_missing`).
    """
    submitted = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")).get(
        "runtime_env", {}
    )
    names = {name for name in os.environ if _PASSED_ON.fullmatch(name)} - {RUN_ID, JOB}
    variables = {name: os.environ[name] for name in names}
    variables |= {name: os.environ[name] for name in _QUIET if name in os.environ}
    variables["PYTHONWARNINGS"] = "ignore"
    return {
        "env_vars": {k: v for k, v in variables.items() if k not in submitted.get("env_vars", {})}
    }
