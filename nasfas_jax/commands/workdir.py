"""The folder of a run at an address, as gs://BUCKET/run, for commands on one machine."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nasfas_jax import clusters, files
from nasfas_jax.errors import InputError

#: Commands that use the address itself: its machines mount it, or it is only listed.
BY_ADDRESS = ("launch", "doctor")


@contextlib.contextmanager
def local(
    command: str, given: Mapping[str, Any], argv: Sequence[str]
) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Flags and words of a command with the local copy of an address in --workdir.

    Args:
      command: its name.
      given: its flags.
      argv: the words of the command line after the program.

    Raises:
      InputError: processes on several machines, or as `mirror.opened`.
    """
    address = files.address(given.get("workdir") or "")
    if not address or command in BY_ADDRESS:
        yield dict(given), list(argv)
        return
    _require_one_machine(address, given)
    from nasfas_jax import mirror  # fsspec takes part of a second

    with mirror.opened(address) as folder:
        yield {**given, "workdir": str(folder)}, [*argv, f"--workdir={folder}"]


def _require_one_machine(address: str, given: Mapping[str, Any]) -> None:
    several = "process" in given or given.get("processes") == "auto"
    several |= "processes" not in given and clusters.detected(os.environ) is not None
    several |= given.get("engine") == "slurm" or "part" in given
    if several:
        raise InputError(
            f"expected a path that all machines of the run reach, got {address}. Mount the"
            " bucket (gcsfuse, mountpoint-s3), as nasfas launch does; an address is for"
            " the processes of one machine.",
            field="--workdir",
        )
