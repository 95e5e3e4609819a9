"""Checks for the optional dependencies (extras) of the package."""

import importlib.util

from nasfas_jax.errors import InputError


def require(extra: str, *packages: str, field: str = "") -> None:
    """Checks that the packages of an extra are installed.

    Args:
      extra: name of the extra.
      packages: names by which the packages are imported.
      field: argument that needs them.

    Raises:
      InputError: names the missing packages, and how to install them.

    >>> require("export", "json")
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"expected the packages of the extra {extra!r}, found no"
            f" {', '.join(missing)}: pip install 'nasfas_jax[{extra}]' (in a checkout:"
            f" pip install -e '.[{extra}]').",
            field=field,
        )
