"""The state of an installation and of the folders of a run."""

import dataclasses
import importlib.metadata
import os
import pathlib
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax
from packaging.requirements import Requirement

from nasfas_jax import __version__, clusters, files, limits, storage, tables
from nasfas_jax.errors import InputError, some
from nasfas_jax.runtime import devices
from nasfas_jax.workflows import data as opening

#: Bytes that a folder should have free, more than a search or a training writes.
ROOM = 2e9
#: Files of accelerators, and the extra that uses them.
ACCELERATORS = {"/dev/nvidia0": "gpu", "/dev/accel0": "tpu", "/dev/vfio/0": "tpu"}


class Finding(NamedTuple):
    """One thing that was checked.

    Attributes:
      name: what it is.
      found: its state.
      advice: what to do; '' where it is right.
    """

    name: str
    found: str
    advice: str = ""


@dataclasses.dataclass(frozen=True, repr=False)
class Findings:
    """All that was checked."""

    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> list[Finding]:
        """Those with advice."""
        return [one for one in self.findings if one.advice]

    def table(self) -> tables.Rows:
        """The findings as rows of text, header first."""
        rows = [["checked", "found", "what to do"]]
        return rows + [[*one[:2], one.advice or "nothing"] for one in self.findings]

    def __repr__(self) -> str:
        return tables.as_text(self.table())

    def _repr_html_(self) -> str:
        return tables.as_html(self.table())


def doctor(
    workdir: str | pathlib.Path = "runs/local",
    data_dir: str | pathlib.Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> Findings:
    """Checks versions, devices, processes, disk, data and the compilation cache.

    Nothing is installed or changed, and no data are decoded.

    Args:
      workdir: folder of a run, which need not exist, or its address.
      data_dir: folder of prepared data; ``workdir/data`` if None.
      environment: environment variables; those of this process if None.
    """
    limits.require(
        workdir=(workdir, limits.PATH), data_dir=(data_dir, limits.OrNone(limits.PATH))
    )
    workdir = pathlib.Path(workdir)
    data = pathlib.Path(data_dir or workdir / "data")
    given = os.environ if environment is None else environment
    cache = devices.cache_folder()
    return Findings(
        (
            *versions(),
            accelerator(),
            *processes(given),
            room("workdir", workdir),
            room("data", data),
            room("cache", cache),
            prepared_data(data),
            compilation_cache(cache),
        )
    )


def versions(
    requires: list[str] | None = None,
    installed: Callable[[str], str] = importlib.metadata.version,
) -> Iterator[Finding]:
    """Python, this package, JAX, and the requirements that are not met.

    Args:
      requires: requirements as in setup.cfg; those of this package if None.
      installed: version of a package by its name.
    """
    shown = f"nasfas_jax {__version__}, Python {platform.python_version()}"
    yield Finding("versions", f"{shown}, JAX {jax.__version__}")
    if requires is None:
        try:
            requires = importlib.metadata.requires("nasfas_jax") or []
        except importlib.metadata.PackageNotFoundError:
            yield Finding(
                "requirements",
                "not known, as this checkout is not installed",
                "pip install -e . in the checkout",
            )
            return
    unmet: dict[str, str] = {}
    for requirement in map(Requirement, requires):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        wanted = f"'{requirement.name}{requirement.specifier}'"
        try:
            version = installed(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            unmet[wanted] = "absent"
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            unmet[wanted] = version
    found = some([f"{wanted} is {version}" for wanted, version in unmet.items()])
    advice = f"pip install {' '.join(unmet)}" if unmet else ""
    yield Finding("requirements", found or "all met", advice)


def accelerator(
    files: Mapping[str, str] = ACCELERATORS, backend: str | None = None
) -> Finding:
    """The devices of JAX; wrong if the machine has an accelerator that JAX does not use.

    Args:
      files: files of accelerators and the extras for them.
      backend: name of JAX's backend; this process's if None.
    """
    machine = devices.describe_machine()
    backend = jax.default_backend() if backend is None else backend
    unused = [extra for path, extra in files.items() if pathlib.Path(path).exists()]
    advice = ""
    if backend == "cpu" and unused:
        advice = (
            f"pip install 'nasfas_jax[{unused[0]}]'; JAX_PLATFORMS, if set, names it"
        )
    found = f"{machine['device']}, {machine['cores']} cores, {machine['processor']}"
    return Finding("devices", found, advice)


def processes(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Environments of several processes, and variables that disturb them."""
    several = False
    for name, count, index in clusters.named(environment):
        several |= count > 1
        advice = ""
        if count > 1 and not jax.distributed.is_initialized():
            advice = (
                "nasfas search and nasfas train join them; from Python call"
                " nasfas_jax.runtime.processes.start() before any other use of JAX:"
                " otherwise each runs alone"
            )
        yield Finding(name, f"process {index} of {count}", advice)
    proxies = [
        name for name in environment if name.lower() in ("http_proxy", "https_proxy")
    ]
    if several and proxies:
        yield Finding(
            "proxies",
            ", ".join(sorted(proxies)),
            "unset them, or processes may wait for each other for ever",
        )
    if not several:
        yield Finding("processes", "one process")


def room(name: str, folder: pathlib.Path, least: float = ROOM) -> Finding:
    """Free space where a folder is or will be, and whether it can be written.

    Of an address: the files there, and the free space for its local copy.
    """
    if address := files.address(folder):
        try:
            there = storage.listing(address)
        except InputError as error:
            return Finding(name, f"{address} cannot be read", str(error))
        size, copies = sum(one[0] for one in there.values()), storage.staging_folder()
        copy = room(name, copies, size + least)
        found = f"{address}: {len(there):,} files, {size / 1e9:.1f} GB; copy in {copy.found}"
        return Finding(name, found, copy.advice)
    there = next(
        p for p in (folder.absolute(), *folder.absolute().parents) if p.exists()
    )
    free = shutil.disk_usage(there).free
    found = f"{folder}: {free / 1e9:.1f} GB free"
    if not there.is_dir():
        return Finding(name, f"{there} is a file", "choose another folder")
    if problem := _unwritable(there):
        return Finding(name, f"{folder}: {problem}", "choose another folder")
    advice = f"free some space: less than {least / 1e9:g} GB" if free < least else ""
    return Finding(name, found, advice)


def prepared_data(folder: pathlib.Path) -> Finding:
    """Whether prepared data can be opened; none is right, since they can be made."""
    if files.address(folder):
        return Finding("prepared data", "not opened, since an address is copied before")
    if not folder.exists():
        return Finding("prepared data", f"none in {folder}")
    try:
        data = opening.open_data(folder)
    except InputError as error:
        return Finding("prepared data", f"{folder} cannot be opened", str(error))
    counts = [f"{name} {len(split):,}" for name, split in data.splits.items()]
    return Finding("prepared data", f"{data.dataset}, clips: {', '.join(counts)}")


def compilation_cache(folder: pathlib.Path) -> Finding:
    """The folder of compiled programs: whether it can be written, and whose they are."""
    name = "compilation cache"
    there = next(
        p for p in (folder.absolute(), *folder.absolute().parents) if p.exists()
    )
    if problem := "is a file" if not there.is_dir() else _unwritable(there):
        advice = "set JAX_COMPILATION_CACHE_DIR to a folder that can be written"
        return Finding(name, f"{there}: {problem}", advice)
    programs = (
        [p.stat().st_size for p in folder.glob("*-cache")] if folder.exists() else []
    )
    mark, own = devices.CACHE_MARK, devices.cache_version()
    users = sorted(p.name.removeprefix(mark) for p in folder.glob(f"{mark}*"))
    others = [version for version in users if version != own]
    found = f"{folder}: {len(programs)} programs, {sum(programs) / 1e6:,.0f} MB"
    if programs and others:
        return Finding(
            name,
            f"{found}, also of jaxlib {some(others)}",
            f"delete the folder: {own} reads no program of another version",
        )
    return Finding(name, found)


def _unwritable(folder: pathlib.Path) -> str:
    """Why a folder cannot be written; '' if it can."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)
