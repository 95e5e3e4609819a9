"""Genotypes, the discrete architectures of search spaces, and their file format."""

import dataclasses
import json
import pathlib

from nasfas_jax import files
from nasfas_jax.errors import InputError
from nasfas_jax.search import spaces
from nasfas_jax.search.space import SearchSpace
from nasfas_jax.theta import as_json

FORMAT = "nasfas-genotype"
VERSION = 1


@dataclasses.dataclass(frozen=True)
class Genotype:
    """One architecture of a search space: an operation for every edge of every cell.

    Attributes:
      space: the space, with the options of the network to build.
      cells: for each cell of ``space.cells``, the names of its edges' operations.
    """

    space: SearchSpace
    cells: tuple[tuple[str, ...], ...]

    def as_dict(self) -> dict:
        """Content of the file."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "space": {"name": self.space.name, **_options(self.space)},
            "cells": {
                name: list(cell)
                for name, cell in zip(self.space.cells, self.cells, strict=True)
            },
        }


def _options(space: SearchSpace) -> dict:
    """The options of a space as JSON values, without those that are None."""
    options = dataclasses.asdict(space).items()
    return {k: as_json(v) for k, v in options if v is not None}


def save(path: str | pathlib.Path, genotype: Genotype) -> None:
    """Writes the genotype's JSON file."""
    files.write_json(path, genotype.as_dict())


def load(path: str | pathlib.Path) -> Genotype:
    """Reads a genotype file.

    Raises:
      InputError: no such file, no genotype, another version, an unknown space, option
        or operation; the text names the file and the field.
    """
    try:
        data = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"There is no genotype file {path}. `nasfas search` writes one to "
            "<workdir>/search/genotype.json; give its path, or search first."
        ) from None
    except OSError as error:
        raise InputError(f"The genotype file {path} cannot be read: {error}.") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a genotype: not JSON ({error}).") from None
    try:
        return parse(data)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def parse(data: object) -> Genotype:
    """The genotype in ``data``, as `Genotype.as_dict` makes it.

    Raises:
      InputError: as `load`.
    """
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f'not a genotype: the field "format" is not "{FORMAT}".')
    if data.get("version") != VERSION:
        raise InputError(
            f'the field "version" is {data.get("version")!r}; this program reads '
            f"version {VERSION}. Search again, or use the release that wrote the file."
        )
    options = data.get("space")
    if not isinstance(options, dict):
        raise InputError(
            'the field "space" must hold the name and the options of a search space, '
            f"got {options!r:.200}."
        )
    try:
        options = dict(options)
        space = spaces.get(options.pop("name", None), **options)
    except (TypeError, ValueError) as error:
        raise InputError(f'the field "space" does not fit: {error}') from None
    return Genotype(space, _cells(space, data.get("cells")))


def _cells(space: SearchSpace, cells: object) -> tuple[tuple[str, ...], ...]:
    if not isinstance(cells, dict) or set(cells) != set(space.cells):
        raise InputError(
            f'the field "cells" must hold {list(space.cells)}, got {cells!r:.200}.'
        )
    for name, edges in space.cells.items():
        cell = cells[name]
        if not isinstance(cell, list) or len(cell) != edges:
            raise InputError(
                f'the cell "{name}" must list {edges} operations, one an edge, '
                f"got {cell!r:.200}."
            )
        if unknown := [op for op in cell if op not in space.choices]:
            raise InputError(
                f'the cell "{name}" has {unknown}, which the space {space.title} lacks; '
                f"it has {list(space.choices)}."
            )
    return tuple(tuple(cells[name]) for name in space.cells)
