"""The file of a job for each backend, and the program that takes it."""

import os
import pathlib
import shlex
import shutil
import subprocess
from collections.abc import Callable
from typing import NamedTuple

import jinja2

from nasfas_jax import limits
from nasfas_jax.errors import InputError
from nasfas_jax.launch.job import BUCKETS, FINAL, Job

_TEMPLATES = pathlib.Path(__file__).parent / "templates"


class Backend(NamedTuple):
    """Program that starts a job.

    Attributes:
      suffix: suffix of its file.
      submit: command that takes the file, before its path.
      problem: what a job lacks or has too much, in words; '' for nothing.
    """

    suffix: str
    submit: tuple[str, ...]
    problem: Callable[[Job], str]


def _local(job: Job) -> str:
    if job.topology or job.parts > 1 or job.per == "gpu":
        return "no topology, parts or process for each GPU"
    if job.bucket:
        return "a folder of a file system, in which buckets are mounted before"
    return ""


def _slurm(job: Job) -> str:
    if job.topology or job.bucket:
        return "nodes of GPUs or processors, no topology, and a folder that they mount"
    return ""


def _tpu_vm(job: Job) -> str:
    if not (job.topology and job.zone) or job.parts > 1:
        return "a topology and a zone, and no parts"
    if job.bucket and job.bucket[0] != "gs":
        return "a bucket of Google Cloud"
    return ""


def _gke(job: Job) -> str:
    if job.bucket and job.bucket[0] != "gs":
        return "a bucket of Google Cloud"
    if problem := _containers(job):
        return problem
    return (
        "" if job.bucket else "a folder as gs://BUCKET/FOLDER: its pods keep no files"
    )


def _skypilot(job: Job) -> str:
    if problem := _containers(job):
        return problem
    kept = job.bucket or os.path.isabs(job.workdir)
    return "" if kept else "a folder in a bucket, or a path that all machines mount"


def _containers(job: Job) -> str:
    if not (job.topology or job.gpus) or job.per == "gpu":
        return "a topology, or GPUs with one process a node"
    if job.gpus and not job.gpu:
        return "the type of the GPUs"
    return ""


BACKENDS = {
    "local": Backend(".sh", ("bash",), _local),
    "slurm": Backend(".sh", ("sbatch",), _slurm),
    "tpu_vm": Backend(".sh", ("bash",), _tpu_vm),
    "gke": Backend(".yaml", ("kubectl", "apply", "-f"), _gke),
    "skypilot": Backend(".yaml", ("sky", "jobs", "launch", "--yes"), _skypilot),
}


def render(job: Job, backend: str) -> str:
    """The script or manifest of a job.

    Args:
      job: the job.
      backend: key of `BACKENDS`.

    Raises:
      InputError: no such backend, or a job that it cannot run.
    """
    limits.require(backend=(backend, limits.OneOf(BACKENDS)))
    chosen = BACKENDS[backend]
    if problem := chosen.problem(job):
        machines = f"topology {job.topology!r}, zone {job.zone!r}, {job.gpus} GPUs"
        raise InputError(
            f"{backend!r} needs {problem}, got {machines} {job.gpu!r} a node, per"
            f" {job.per!r}, {job.parts} part(s), workdir {job.workdir!r}.",
            field="backend",
        )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quote"] = shlex.quote
    template = environment.get_template(f"{backend}{chosen.suffix}")
    return template.render(job=job, final=FINAL, buckets=BUCKETS)


def submit(file: pathlib.Path, backend: str) -> None:
    """Hands the file of a job to its backend.

    Raises:
      InputError: the backend's program is not installed, or fails.
    """
    words = (*BACKENDS[backend].submit, str(file))
    if shutil.which(words[0]) is None:
        raise InputError(
            f"{words[0]!r} is not installed here. On a machine that has it:"
            f" {shlex.join(words)}",
            field="backend",
        )
    if code := subprocess.run(words, check=False).returncode:
        raise InputError(f"`{shlex.join(words)}` ended with exit code {code}.")
