"""Where scoring's stages run: by resources, never by node names."""

import dataclasses

import ray

from model.backends.selection import BackendName
from pipelines.cluster.resources import ResourceRequest, require
from pipelines.scoring.options import Resources

UNBOUNDED = 10**6


@dataclasses.dataclass(frozen=True)
class Placement:
    """Workers and what each of them reserves.

    Attributes:
        use_gpu: decode tasks on cores feed workers that run the network on one GPU each; else each
            worker does all stages on one core.
        workers: how many to begin with.
        max_workers: how many at most, where nodes join while it runs.
        sentence: the plan as text.
    """

    use_gpu: bool
    workers: int
    max_workers: int
    sentence: str

    @property
    def resources(self) -> dict[str, int]:
        """What Ray reserves for each worker; decode tasks reserve their own cores."""
        return {"num_cpus": int(not self.use_gpu), "num_gpus": int(self.use_gpu)}


def on_gpus(options: Resources) -> bool:
    """Whether `auto` backends and plans mean GPUs; none are known of before Ray is started."""
    has = ray.is_initialized() and int(ray.cluster_resources().get("GPU", 0)) > 0
    return options.device == "gpu" or (has and options.device == "auto")


def placed(options: Resources, shards: int, engine: BackendName = "tensorflow") -> Placement:
    """Decide `auto` plans by what the cluster has.

    Args:
        options: of the run.
        shards: to score, 1 or more; no more workers than these are of use.
        engine: of the run; openvino computes on cores.

    Raises:
        ResourcesError: GPUs are asked for, and there are none and none can come.
    """
    resources = ray.cluster_resources()
    cores, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
    use_gpu = engine == "tensorflow" and on_gpus(options)
    # `device` gpu on a cluster without one yet asks for as many as `workers`; Ray adds the nodes.
    if use_gpu:
        require(ResourceRequest({"GPU": 1}))
    most = (gpus or 1) if use_gpu else cores
    wanted = options.workers or most
    workers = min(wanted if use_gpu else min(wanted, most), shards)
    if use_gpu:
        decoders = f"{cores} cores" if cores > 1 else "one core"
        sentence = f"fetch and decode on {decoders}, network and write on {workers} x a GPU"
    else:
        pool = f"{workers} workers of a core each" if workers > 1 else "one worker of a core"
        sentence = f"fetch, decode, network and write fused, {pool}"
    max_workers = max(workers, min(options.workers or UNBOUNDED, shards))
    return Placement(use_gpu, workers, max_workers, sentence)
