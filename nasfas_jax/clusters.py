"""Environments of several processes, recognized by their variables."""

from collections.abc import Mapping
from typing import NamedTuple


class Cluster(NamedTuple):
    """This process among several.

    Attributes:
      name: name of the environment.
      count: number of processes.
      index: number of this process, as its variable has it.
    """

    name: str
    count: int
    index: str


#: Variables of each environment: the number of processes, this one's, and others that are
#: set with them where `jax.distributed` recognizes it.
VARIABLES = {
    "OpenMPI": (
        *("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
        "OMPI_MCA_orte_hnp_uri",
    ),
    "SLURM": (
        *("SLURM_NTASKS", "SLURM_PROCID"),
        *("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_LOCALID"),
    ),
    "jax.distributed by variables": (
        *("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"),
        "JAX_COORDINATOR_ADDRESS",
    ),
    "GKE or Cloud TPU": ("TPU_WORKER_HOSTNAMES", "TPU_WORKER_ID"),
}


def named(environment: Mapping[str, str]) -> list[Cluster]:
    """All environments whose number of processes is known from their variables."""
    found = []
    for name, (size, rank, *_) in VARIABLES.items():
        if (count := _count(environment.get(size, ""))) is not None:
            found.append(Cluster(name, count, environment.get(rank, "unknown")))
    return found


def detected(environment: Mapping[str, str]) -> Cluster | None:
    """The environment of several processes that a run joins by itself; None for none.

    >>> detected({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"})  # sbatch without srun
    """
    for cluster in named(environment):
        complete = all(name in environment for name in VARIABLES[cluster.name])
        if cluster.count > 1 and complete:
            return cluster
    return None


def _count(text: str) -> int | None:
    """A number of processes, or of names joined by commas; None for no text."""
    if not text:
        return None
    return int(text) if text.isdigit() else len(text.split(","))
