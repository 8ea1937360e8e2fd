"""cluster.yaml and deploy/ hold against Ray's own schema, the locks and EC2's instance types."""

import copy
import gzip
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.answering_store import Answer, handler
from tests.check_house import FLOORS, distributions_of, files, imports_of

ROOT = Path(__file__).parents[2]
CLUSTER = (ROOT / "cluster.yaml").read_text()
PRIVATE = CLUSTER.replace("# PRIVATE: ", "")
KUBERAY = [ROOT / "deploy" / "kuberay" / name for name in ("raycluster.yaml", "rayjob.yaml")]

DOCKERFILE = ROOT / "deploy" / "kuberay" / "Dockerfile"


def locked(lock: str = "requirements.lock") -> dict[str, str]:
    """The versions of a lock file by package."""
    return dict(re.findall(r"(?m)^([a-z0-9._-]+)==([^ ;]+)", (ROOT / lock).read_text()))


def prepared(text: str) -> dict[str, Any]:
    """A cluster file with Ray's defaults filled in, as `ray up` does before it asks AWS."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(yaml.safe_load(text))
    validate_config(config)
    return config


@pytest.mark.parametrize("text", [CLUSTER, PRIVATE], ids=["public", "private"])
def test_ray_s_own_schema_accepts_the_cluster_file(text: str) -> None:
    config = prepared(text)
    assert set(config["available_node_types"]) == {"head", "cpu", "gpu"}


def test_ray_s_own_schema_refuses_a_misspelt_key() -> None:
    import jsonschema

    with pytest.raises(jsonschema.ValidationError):
        prepared(CLUSTER.replace("idle_timeout_minutes", "idle_timeout_minute"))


def test_two_values_are_to_be_filled_in_and_two_more_in_the_private_variant() -> None:
    assert CLUSTER.count("FILL IN 1 of 2:") == CLUSTER.count("FILL IN 2 of 2:") == 1
    values = json.dumps(yaml.safe_load(CLUSTER))
    assert set(re.findall(r"[a-z]+-FILL-IN", values)) == {"ami-FILL-IN"}
    private = json.dumps(yaml.safe_load(PRIVATE))
    assert set(re.findall(r"[a-z]+-FILL-IN", private)) == {
        "ami-FILL-IN", "subnet-FILL-IN", "sg-FILL-IN",
    }  # fmt: skip
    assert yaml.safe_load(PRIVATE)["provider"]["use_internal_ips"] is True


def test_images_and_installer_are_the_locked_versions() -> None:
    ray = locked()["ray"]
    texts = [CLUSTER, *(path.read_text() for path in (*KUBERAY, DOCKERFILE))]
    images = [tag for text in texts for tag in re.findall(r"(?:/ray|/facemill):(\S+)", text)]
    assert len(images) >= 10
    assert {re.sub(r"-gpu$", "", image) for image in images} == {f"{ray}-py311"}
    uv = re.search(r"uv==([0-9.]+)", (ROOT / "Makefile").read_text())
    assert uv is not None
    assert set(re.findall(r"uv==([0-9.]+)", "".join(texts))) == {uv[1]}


def test_the_head_s_boto3_is_the_one_that_is_tested() -> None:
    assert f"boto3=={locked('requirements-dev.lock')['boto3']}" in CLUSTER


def test_the_gpu_lock_is_the_lock_and_cuda() -> None:
    plain, gpu = locked(), locked("deploy/requirements-gpu.lock")
    assert {name: gpu.get(name) for name in plain} == plain
    more = sorted(set(gpu) - set(plain))
    assert more and all(name.startswith("nvidia-") for name in more)


# Only a developer's machine has these extras: jobs.export's and the MLflow tracker's.
ELSEWHERE = {"onnx", "onnxruntime", "tf2onnx", "mlflow"}


@pytest.mark.parametrize("lock", ["requirements.lock", "deploy/requirements-gpu.lock"])
def test_a_node_has_every_package_that_a_job_imports(lock: str) -> None:
    named = {name for path in files(*FLOORS) for _, name in imports_of(path)}
    tops = {name.partition(".")[0] for name in named} - sys.stdlib_module_names - {*FLOORS, "demo"}
    wanted = set().union(*(distributions_of(top) for top in tops - ELSEWHERE))
    assert {"duckdb", "jinja2", "tensorflow", "obstore"} <= wanted
    assert wanted - set(locked(lock)) == set()


def test_the_head_takes_no_task_and_the_job_port_stays_on_loopback() -> None:
    config = prepared(CLUSTER)
    assert config["available_node_types"]["head"]["resources"] == {"CPU": 0, "GPU": 0}
    start = config["head_start_ray_commands"][-1]
    assert "--num-cpus=0" in start and "--dashboard-host=127.0.0.1" in start
    assert "-e RAY_AUTH_MODE=token" in config["docker"]["run_options"]


def test_start_commands_are_options_that_this_ray_knows() -> None:
    from ray.scripts.scripts import start

    known = {name for option in start.params for name in option.opts}
    config = prepared(CLUSTER)
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert set(re.findall(r"--[a-z-]+", config[key][-1])) <= known


def test_instance_types_are_ec2_s_and_as_large_as_the_comments_say() -> None:
    import moto

    table = Path(moto.__file__).parent / "ec2" / "resources" / "instance_types.json.gz"
    known = json.loads(gzip.decompress(table.read_bytes()))
    nodes = yaml.safe_load(CLUSTER)["available_node_types"]
    found = {}
    for name, node in nodes.items():
        kind = known[node["node_config"]["InstanceType"]]
        gpus = [f"{gpu['Count']} {gpu['Name']}" for gpu in kind.get("GpuInfo", {}).get("Gpus", [])]
        gib = kind["MemoryInfo"]["SizeInMiB"] // 1024
        found[name] = (kind["VCpuInfo"]["DefaultVCpus"], gib, gpus)
    assert found == {"head": (4, 16, []), "cpu": (16, 32, []), "gpu": (16, 64, ["1 L4"])}


def test_workers_are_spot_scale_to_nothing_and_hold_roles_not_keys() -> None:
    nodes = yaml.safe_load(CLUSTER)["available_node_types"]
    for name, node in nodes.items():
        settings = node["node_config"]
        role = "facemill-head" if name == "head" else "facemill-worker"
        assert settings["IamInstanceProfile"] == {"Name": role}
        assert settings["MetadataOptions"]["HttpTokens"] == "required"
        assert settings["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
        assert node["min_workers"] == 0
        spot = settings.get("InstanceMarketOptions", {}).get("MarketType") == "spot"
        assert spot == (name != "head")
    assert not re.search(r"AKIA|SECRET_ACCESS_KEY", CLUSTER)


def test_files_that_the_cluster_file_sends_are_there() -> None:
    sent = yaml.safe_load(CLUSTER)["file_mounts"].values()
    ours = [path for path in sent if not path.startswith("~")]
    assert ours and all((ROOT / path).is_file() for path in ours)


# KubeRay: no package on PyPI carries its CRDs, so the keys are held against these lists, taken from
# https://ray-project.github.io/kuberay/reference/api/ (2026-11).
CLUSTER_KEYS = {
    "rayVersion", "headGroupSpec", "workerGroupSpecs", "enableInTreeAutoscaling",
    "autoscalerOptions", "authOptions", "suspend", "headServiceAnnotations",
}  # fmt: skip
HEAD_KEYS = {"rayStartParams", "template", "serviceType", "enableIngress", "headService"}
WORKER_KEYS = {
    "groupName", "replicas", "minReplicas", "maxReplicas", "idleTimeoutSeconds", "rayStartParams",
    "template", "numOfHosts", "scaleStrategy", "suspend",
}  # fmt: skip
JOB_KEYS = {
    "entrypoint", "runtimeEnvYAML", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished",
    "submissionMode", "rayClusterSpec", "clusterSelector", "backoffLimit", "activeDeadlineSeconds",
    "jobId", "metadata", "suspend", "entrypointNumCpus", "submitterPodTemplate",
}  # fmt: skip
POD_KEYS = {
    "containers", "initContainers", "volumes", "serviceAccountName", "nodeSelector", "tolerations",
    "securityContext", "terminationGracePeriodSeconds", "automountServiceAccountToken",
}  # fmt: skip
CONTAINER_KEYS = {
    "name", "image", "env", "envFrom", "resources", "ports", "volumeMounts", "command", "args",
    "lifecycle", "securityContext", "imagePullPolicy", "workingDir",
}  # fmt: skip


def cluster_spec(path: Path) -> dict[str, Any]:
    document = strict(path)
    assert document["apiVersion"] == "ray.io/v1"
    assert set(document) == {"apiVersion", "kind", "metadata", "spec"}
    if document["kind"] == "RayJob":
        assert set(document["spec"]) <= JOB_KEYS
        return document["spec"]["rayClusterSpec"]
    assert document["kind"] == "RayCluster"
    return document["spec"]


def strict(path: Path) -> Any:
    """YAML in which a key that is there twice is an error."""

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [self.construct_object(key) for key, _ in node.value if key.value != "<<"]
            assert len(keys) == len(set(keys)), f"{path.name}: {keys}"
            return super().construct_mapping(node, deep)

    (document,) = list(yaml.load_all(path.read_text(), Loader))
    return document


@pytest.mark.parametrize("path", KUBERAY, ids=lambda path: path.name)
def test_kuberay_manifests_hold_only_keys_that_kuberay_knows(path: Path) -> None:
    spec = cluster_spec(path)
    assert set(spec) <= CLUSTER_KEYS
    assert set(spec["headGroupSpec"]) <= HEAD_KEYS
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for group in spec["workerGroupSpecs"]:
        assert set(group) <= WORKER_KEYS
        assert group["minReplicas"] == 0 <= group["replicas"] <= group["maxReplicas"]
    for group in groups:
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        assert set(pod) <= POD_KEYS
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert set(container) <= CONTAINER_KEYS
            asked = container["resources"]
            assert asked["requests"] == asked["limits"]
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["rayVersion"] == locked()["ray"]


def test_both_kuberay_manifests_describe_the_same_cluster() -> None:
    one, other = (copy.deepcopy(cluster_spec(path)) for path in KUBERAY)
    assert one == other


def test_kuberay_s_gpu_group_asks_for_a_gpu_and_its_cpu_group_for_none() -> None:
    groups = {group["groupName"]: group for group in cluster_spec(KUBERAY[0])["workerGroupSpecs"]}
    asked = {
        name: group["template"]["spec"]["containers"][0]["resources"]["limits"]
        for name, group in groups.items()
    }
    assert asked["gpu"]["nvidia.com/gpu"] == 1
    assert "nvidia.com/gpu" not in asked["cpu"]


def test_nodes_learn_their_region_from_the_machine_they_are() -> None:
    config = prepared(CLUSTER)
    starts = [config[f"{kind}_start_ray_commands"][-1] for kind in ("head", "worker")]
    (export,) = {start.partition("; ulimit")[0] for start in starts}

    def metadata(request: BaseHTTPRequestHandler) -> Answer:
        if request.command == "PUT":
            return 200, {}, b"token"
        assert request.headers["x-aws-ec2-metadata-token"] == "token"  # version 2 only
        return 200, {}, b"eu-west-1b" if "availability-zone" in request.path else b""

    with HTTPServer(("127.0.0.1", 0), handler(metadata)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        here = export.replace("F()", f'F(base_url="http://127.0.0.1:{server.server_port}/")')
        done = subprocess.run(
            ["bash", "-c", f"{here}; echo $AWS_REGION"], capture_output=True, text=True,
            env={"PATH": path}, check=True,
        )  # fmt: skip
        server.shutdown()
    assert done.stdout == "eu-west-1\n"
