"""Genotypes: discrete architectures, their file, and how alphas become one."""

import dataclasses
import json
import pathlib

import numpy as np

from nasfas_jax import files
from nasfas_jax.errors import InputError
from nasfas_jax.search import spaces

FORMAT = "nasfas-genotype"
VERSION = 1


@dataclasses.dataclass(frozen=True)
class Genotype:
    """One architecture of a search space: an operation for every edge of every cell.

    Attributes:
      space: the space, with the channels of the network to build.
      cells: in the order of `spaces.CELLS`, the names of the cell's operations.
    """

    space: spaces.FASSpace
    cells: tuple[tuple[str, ...], ...]

    def as_dict(self) -> dict:
        """What the file holds."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "space": {"name": self.space.name, **dataclasses.asdict(self.space)},
            "cells": {
                name: list(cell)
                for name, cell in zip(spaces.CELLS, self.cells, strict=True)
            },
        }


def derive(space: spaces.FASSpace, alphas: dict) -> Genotype:
    """The strongest operation other than none on every edge (NAS-FAS sec. 4.1).

    Args:
      space: of the supernet; the genotype has the channels for retraining, doubled.
      alphas: ``{cell: [edges, operations]}``. Ties go to the earlier operation.
    """
    cells = tuple(
        tuple(space.operations[1 + int(i)] for i in np.argmax(alphas[cell][:, 1:], -1))
        for cell in spaces.CELLS
    )
    return Genotype(space.for_retraining(), cells)


def sample(space: spaces.FASSpace, seed: int) -> Genotype:
    """A uniformly random architecture, the comparison that search has to beat."""
    rng = np.random.default_rng(seed)
    names = rng.choice(space.operations[1:], (len(spaces.CELLS), spaces.EDGES))
    cells = tuple(tuple(str(name) for name in cell) for cell in names)
    return Genotype(space.for_retraining(), cells)


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


def _cells(space: spaces.FASSpace, cells: object) -> tuple[tuple[str, ...], ...]:
    if not isinstance(cells, dict) or set(cells) != set(spaces.CELLS):
        raise InputError(
            f'the field "cells" must hold {list(spaces.CELLS)}, got {cells!r:.200}.'
        )
    for name, cell in cells.items():
        if not isinstance(cell, list) or len(cell) != spaces.EDGES:
            raise InputError(
                f'the cell "{name}" must list {spaces.EDGES} operations, one an edge, '
                f"got {cell!r:.200}."
            )
        if unknown := [op for op in cell if op not in space.operations[1:]]:
            raise InputError(
                f'the cell "{name}" has {unknown}, which the space {space.name!r} '
                f"({space.trial}) lacks; it has {list(space.operations[1:])}."
            )
    return tuple(tuple(cells[name]) for name in spaces.CELLS)


#: CDCN++ (CVPR 2020) as an architecture of this space: 2,257,352 parameters. The first
#: convolution of its Block1, 64 -> 128, is the second of the stem here.
CDCN_PP = Genotype(
    spaces.FASSpace(
        pool="max", stem_channels=64, channels=128, head_channels=128, partial=1
    ),
    (
        ("cdc_2_1.6", "skip", "skip", "skip"),
        ("cdc_2_1.2", "cdc_2_1.4", "skip", "skip"),
        ("cdc", "cdc_2_1.2", "skip", "skip"),
    ),
)
