"""The description of a job: one command, its machines, and what is installed on them."""

import dataclasses
import os
import re
import shlex
from typing import Any

from nasfas_jax import limits
from nasfas_jax.errors import InputError
from nasfas_jax.launch import slices

#: Exit codes of `nasfas` that a restart does not change: an error, and wrong input.
FINAL = (1, 2)
#: Commands that several processes execute together.
TOGETHER = ("search", "train")
#: Where the machines mount buckets.
BUCKETS = "/buckets"
_BUCKET = re.compile(r"(--workdir=)(gs|s3)://([^/]+)")
#: What one process drives: all accelerators of its node, or one GPU.
PER = ("node", "gpu")


class _Names(limits.Kind):
    """Names that SLURM, Kubernetes and Google Cloud all accept."""

    def __contains__(self, value: Any) -> bool:
        pattern = r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?"
        return isinstance(value, str) and re.fullmatch(pattern, value) is not None


NAME = _Names(str, "1 to 40 small letters, digits and dashes, as 'search-1'")


@dataclasses.dataclass(frozen=True)
class Job:
    """A command and the machines that run it.

    Attributes:
      command: words of the command after ``nasfas``.
      name: name of the job.
      workdir: folder of the run, which all machines reach; a bucket is mounted.
      topology: TPU slice, as 'v5e:4x4'; '' for GPUs or processors.
      nodes: machines with GPUs or processors; of a local job, processes.
      gpus: GPUs of a node.
      gpu: type of the GPUs as the backend names it, as 'A100-80GB'.
      cpus: processor cores of a node.
      per: what one process drives, of `PER`.
      hours: time limit.
      restarts: restarts after a preemption or a lost machine.
      parts: jobs among which a sweep is divided.
      package: requirement that pip installs on new machines.
      setup: shell command that each process executes first.
      image: container image, with Python 3.11 or newer.
      zone: zone of Google Cloud.
      spot: whether machines may be preempted.
      options: further options of the scheduler, as '--partition=gpu'.
    """

    command: tuple[str, ...]
    name: str = "nasfas"
    workdir: str = "runs/local"
    topology: str = ""
    nodes: int = 1
    gpus: int = 0
    gpu: str = ""
    cpus: int = 8
    per: str = "node"
    hours: float = 24
    restarts: int = 20
    parts: int = 1
    package: str = ""
    setup: str = ""
    image: str = "python:3.11"
    zone: str = ""
    spot: bool = False
    options: tuple[str, ...] = ()

    def __post_init__(self):
        limits.require(
            name=(self.name, NAME),
            topology=(self.topology, limits.OneOf(("", *slices.NAMES))),
            nodes=(self.nodes, limits.COUNT),
            gpus=(self.gpus, limits.COUNT_OR_NONE),
            cpus=(self.cpus, limits.COUNT),
            per=(self.per, limits.OneOf(PER)),
            hours=(self.hours, limits.POSITIVE),
            restarts=(self.restarts, limits.COUNT_OR_NONE),
            parts=(self.parts, limits.COUNT),
            spot=(self.spot, limits.FLAG),
        )
        if self.topology and self.gpus:
            raise InputError(
                f"expected a TPU topology or GPUs, got {self.topology!r} and {self.gpus}"
                " GPUs a node.",
                field="topology",
            )
        if self.per == "gpu" and not self.gpus:
            raise InputError(
                "'gpu' needs the number of GPUs of a node: --gpus=8.", field="per"
            )
        if self.parts > 1 and self.command[0] != "sweep":
            raise InputError(
                f"expected the command sweep, which is divided into parts, got"
                f" {' '.join(self.command)!r}.",
                field="parts",
            )
        if self.processes > 1 and self.command[0] not in TOGETHER:
            raise InputError(
                f"expected one of the commands {', '.join(TOGETHER)} for"
                f" {self.processes} processes, got {self.command[0]!r}: it runs in one,"
                " which uses all devices of its machine. Ask for one node and, for a"
                " sweep, for --parts=N.",
                field="nodes",
            )
        self._require_shared_workdir()

    def _require_shared_workdir(self) -> None:
        """Requires a folder that all machines reach, where there are several."""
        address = "://" in self.workdir
        if self.slice is None or address or os.path.isabs(self.workdir):
            return
        raise InputError(
            f"expected an address as gs://BUCKET/FOLDER, or an absolute path that all"
            f" {self.hosts} machine(s) mount, got {self.workdir!r}.",
            field="workdir",
        )

    @property
    def slice(self) -> slices.Slice | None:
        """The TPU slice; None without one."""
        return slices.of(self.topology) if self.topology else None

    @property
    def hosts(self) -> int:
        """Number of machines."""
        return self.slice.hosts if self.slice else self.nodes

    @property
    def processes(self) -> int:
        """Number of processes of the job, or of one of its parts."""
        return self.hosts * (self.gpus if self.per == "gpu" else 1)

    @property
    def devices(self) -> int:
        """Number of chips or GPUs of the job, or of its processes without either."""
        if self.slice:
            return self.hosts * self.slice.chips
        return self.nodes * max(self.gpus, 1)

    @property
    def bucket(self) -> tuple[str, str] | None:
        """Scheme and name of the bucket with the run's folder; None without one."""
        found = (_BUCKET.match(word) for word in self.command)
        return next(((one[2], one[3]) for one in found if one), None)

    @property
    def words(self) -> list[str]:
        """Words of the command, with the path of the run's folder in a mounted bucket."""
        return [_BUCKET.sub(rf"\1{BUCKETS}/\3", word) for word in self.command]

    @property
    def line(self) -> str:
        """The command line, quoted for a shell."""
        return shlex.join(("nasfas", *self.words))

    @property
    def requirement(self) -> str:
        """The requirement that pip installs, quoted for a shell."""
        extras = ["tpu"] if self.topology else ["gpu"] if self.gpus else []
        for scheme, extra in (("gs://", "gcs"), ("s3://", "s3")):
            extras += [extra] * any(scheme in word for word in self.words)
        names = f"[{','.join(extras)}]" if extras else ""
        return shlex.quote(self.package or f"nasfas_jax{names}")

    @property
    def installation(self) -> tuple[str, ...]:
        """Shell commands that install Python and the requirement in ~/nasfas."""
        uv = "~/.local/bin/uv"
        return (
            "curl -LsSf https://astral.sh/uv/install.sh | sh",
            f"{uv} venv --quiet --allow-existing --python=3.11 ~/nasfas",
            f"VIRTUAL_ENV=~/nasfas {uv} pip install --quiet {self.requirement}",
        )

    @property
    def time(self) -> str:
        """The time limit as hours, minutes and seconds."""
        minutes = round(self.hours * 60)
        return f"{minutes // 60}:{minutes % 60:02}:00"
