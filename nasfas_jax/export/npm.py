"""Files of npm packages, pinned by version and checksum."""

import base64
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import urllib.request
from collections.abc import Sequence
from typing import NamedTuple

from nasfas_jax.errors import InputError

REGISTRY = "https://registry.npmjs.org/"
SECONDS = 60


class Package(NamedTuple):
    """A version of a package.

    Attributes:
      name: the package, without scope.
      version: its version.
      sha512: checksum of its archive in base64, as in the registry's 'integrity'.
    """

    name: str
    version: str
    sha512: str


def fetch(package: Package, names: Sequence[str]) -> dict[str, bytes]:
    """Fetches files of a package from the registry; nothing is executed.

    Args:
      package: the package.
      names: paths inside the package.

    Raises:
      InputError: the archive cannot be fetched, or is another one.
    """
    file = f"{package.name}/-/{package.name}-{package.version}.tgz"
    address = f"{registry().rstrip('/')}/{file}"
    try:
        with urllib.request.urlopen(address, timeout=SECONDS) as answer:
            archive = answer.read()
    except (OSError, ValueError) as error:  # of the network; a malformed address
        raise InputError(
            f"expected the npm package {package.name} {package.version} from {address},"
            f" got {error}. NPM_CONFIG_REGISTRY names another registry."
        ) from None
    return files_of(package, archive, names)


def files_of(
    package: Package, archive: bytes, names: Sequence[str]
) -> dict[str, bytes]:
    """Files of a package's archive, after a check of its checksum.

    Raises:
      InputError: another checksum.
    """
    found = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if found != package.sha512:
        raise InputError(
            f"expected the npm package {package.name} {package.version} with SHA-512"
            f" {package.sha512}, got {found}."
        )
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as members:
        return {name: _content(members, f"package/{name}") for name in names}


def registry() -> str:
    """Address of the registry: NPM_CONFIG_REGISTRY, npm's own setting, or npm's default."""
    for name in ("NPM_CONFIG_REGISTRY", "npm_config_registry"):
        if given := os.environ.get(name):
            return given
    if npm := shutil.which("npm"):
        command = [npm, "config", "get", "registry"]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if found.returncode == 0 and found.stdout.startswith("http"):
            return found.stdout.strip()
    return REGISTRY


def _content(members: tarfile.TarFile, name: str) -> bytes:
    file = members.extractfile(name)
    assert file is not None  # the checksum is right
    return file.read()
