"""How many cores a worker gets, and how many trainings the cluster has room for at once."""

from pipelines.cluster.resources import ResourceRequest, cores_a_worker, require, supply
from pipelines.training.options import Workers


def room_for(workers: Workers, trainings: int = 1) -> tuple[int, int]:
    """Wait until one training has room, then share out what there is.

    Where the options leave the cores open, a worker gets as many as one node has for it: a machine
    without GPUs then has room for one training, a cluster for as many as it has nodes. With GPUs it
    gets what lets most trainings run at once.

    Args:
        workers: of each training.
        trainings: how many there are to do.

    Returns:
        (cores of each worker, how many of the trainings to run at once).

    Raises:
        ResourcesError: there is no room for one, and none is coming.
    """
    gpus = int(workers.use_gpu)
    require(ResourceRequest({"CPU": workers.cpus_per_worker or 1, "GPU": gpus}, workers.required))
    cores = workers.cpus_per_worker
    if not cores and gpus:
        counts = (n * workers.workers for n in range(trainings, 0, -1))
        cores = next(filter(None, (cores_a_worker(count, gpus) for count in counts)), 0)
    cores = cores or cores_a_worker(workers.workers, gpus) or cores_a_worker(workers.required, gpus)
    at_once = supply().room({"CPU": cores, "GPU": gpus}) // workers.workers
    return cores, min(trainings, max(1, at_once))
