"""Where scoring's stages run: by resources, never by node names."""

import dataclasses

import ray

from model.engines.choosing import EngineName
from pipelines.cluster.resources import Ask, require
from pipelines.scoring.options import Resources

UNBOUNDED = 10**6


@dataclasses.dataclass(frozen=True)
class Placement:
    """Workers and what each of them reserves.

    Attributes:
        separate: decoding runs on CPUs apart from the network, not in the worker.
        use_gpu: the network runs on a GPU.
        workers: how many to begin with.
        most: how many at most, where nodes join while it runs.
        num_cpus: cores of each; decode tasks reserve their own.
        num_gpus: GPUs of each.
        sentence: the plan in words.
    """

    separate: bool
    use_gpu: bool
    workers: int
    most: int
    num_cpus: int
    num_gpus: int
    sentence: str


def on_gpus(options: Resources) -> bool:
    """Whether `auto` engines and plans mean GPUs; none are known of before Ray is started."""
    has = ray.is_initialized() and int(ray.cluster_resources().get("GPU", 0)) > 0
    return options.use_gpu or (has and options.plan != "fused")


def placed(options: Resources, shards: int, engine: EngineName = "tensorflow") -> Placement:
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
    separate = options.plan == "separate" or (options.plan == "auto" and use_gpu)
    most = (gpus or 1) if use_gpu else 1 if separate else cores
    # `use_gpu` on a cluster without one yet asks for as many as `workers`; Ray adds the nodes.
    if use_gpu:
        require(Ask({"GPU": 1}))
    wanted = options.workers or most
    workers = min(wanted if use_gpu else min(wanted, most), shards)
    unit = "a GPU" if use_gpu else "a core"
    if not separate:
        pool = f"{workers} workers of {unit} each" if workers > 1 else f"one worker of {unit}"
        sentence = f"fetch, decode, network and write fused, {pool}"
    else:
        decoders = f"{cores} cores" if cores > 1 else "one core"
        sentence = f"fetch and decode on {decoders}, network and write on {workers} x {unit}"
    # A separate worker reserves no core: decode tasks need them all, and it waits for these.
    is_single = separate and not use_gpu
    grows_to = options.workers or (1 if is_single else UNBOUNDED)
    most = max(workers, min(grows_to, shards))
    return Placement(separate, use_gpu, workers, most, int(not separate), int(use_gpu), sentence)
