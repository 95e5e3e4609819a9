"""Genotypes, the discrete architectures of search spaces, and their file format."""

import dataclasses
import json
import pathlib
from typing import Any, NamedTuple

from nasfas_jax import files
from nasfas_jax.errors import InputError, did_you_mean
from nasfas_jax.search import spaces
from nasfas_jax.search.space import SearchSpace
from nasfas_jax.theta import as_json

FORMAT = "nasfas-genotype"
#: Version of files whose cells list operations, for spaces with a fixed graph.
VERSION = 1
#: Version of files whose cells list edges, for spaces that choose them.
VERSION_OF_EDGES = 2


class Link(NamedTuple):
    """An edge of a cell whose graph is a part of the architecture.

    Attributes:
      start: number of the feature that it leaves; 0 and 1 are the cell's inputs.
      end: number of the node that it enters.
      operation: name of its operation.
    """

    start: int
    end: int
    operation: str

    def __str__(self) -> str:
        return f"{self.operation} {self.start} to {self.end}"

    def as_dict(self) -> dict[str, Any]:
        """The edge in the file."""
        return {"from": self.start, "to": self.end, "operation": self.operation}


Cell = tuple[str, ...] | tuple[Link, ...]


@dataclasses.dataclass(frozen=True)
class Genotype:
    """One architecture of a search space: the operations of the edges of every cell.

    Attributes:
      space: the space, with the options of the network to build.
      cells: for each cell of ``space.cells``, the names of its edges' operations, or its
        edges where the space chooses them.
      fusion: name of the stage after which the branches are fused; None without branches.

    Raises:
      InputError: another number of cells or edges than the space has, an operation or edge
        that it lacks, or no fusion point of its branches.
    """

    space: SearchSpace
    cells: tuple[Any, ...]
    fusion: str | None = None

    def __post_init__(self):
        space = self.space
        if len(self.cells) != len(space.cells):
            raise InputError(
                f"expected the cells {list(space.cells)}, got {self.cells!r:.200}.",
                field="cells",
            )
        for name, cell in zip(space.cells, self.cells, strict=True):
            _require_cell(space, name, cell)
        points = getattr(space, "fusions", ())
        if self.fusion not in (points or (None,)):
            expected = f"one of {list(points)}" if points else "None without branches"
            raise InputError(
                f"expected {expected} for the search space {space.title}, got"
                f" {self.fusion!r}.",
                field="fusion",
            )

    def as_dict(self) -> dict:
        """Content of the file."""
        return {
            "format": FORMAT,
            "version": _version(self.space),
            "space": {"name": self.space.name, **_options(self.space)},
            "cells": {
                name: [e.as_dict() if isinstance(e, Link) else e for e in cell]
                for name, cell in zip(self.space.cells, self.cells, strict=True)
            },
            **({} if self.fusion is None else {"fusion": self.fusion}),
        }

    def texts(self) -> dict[str, str]:
        """Each cell in a line of text, and the fusion point with branches."""
        texts = {
            name: (", " if isinstance(cell[0], Link) else " -> ").join(map(str, cell))
            for name, cell in zip(self.space.cells, self.cells, strict=True)
        }
        return texts if self.fusion is None else {**texts, "fusion after": self.fusion}


def widened(genotype: Genotype, width: float) -> Genotype:
    """The architecture with the channels of its space multiplied and rounded, at least 1.

    They are the options whose names end in "channels", a number or a tuple of numbers.

    Args:
      genotype: the architecture.
      width: multiplier.
    """

    def scaled(channels: Any) -> Any:
        if isinstance(channels, tuple):
            return tuple(map(scaled, channels))
        return max(1, round(width * channels))

    names = [field.name for field in dataclasses.fields(genotype.space)]
    space = dataclasses.replace(
        genotype.space,
        # K is used by the search alone; it need not divide these channels.
        **({"partial": 1} if "partial" in names else {}),
        **{
            name: scaled(getattr(genotype.space, name))
            for name in names
            if name.endswith("channels")
        },
    )
    return dataclasses.replace(genotype, space=space)


def _version(space: SearchSpace) -> int:
    """Version of the files of a space's genotypes."""
    return VERSION_OF_EDGES if getattr(space, "chooses_edges", False) else VERSION


def _options(space: SearchSpace) -> dict:
    """The options of a space as JSON values, without those that are None."""
    options = dataclasses.asdict(space).items()
    # A tuple as the list that JSON has, so that a description equals the stored one.
    return {
        k: list(v) if isinstance(v, tuple) else as_json(v)
        for k, v in options
        if v is not None
    }


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
    versions = (VERSION, VERSION_OF_EDGES)
    if (version := data.get("version")) not in versions or isinstance(version, bool):
        raise InputError(
            f'the field "version" is {version!r}; this program reads versions '
            f"{versions[0]} and {versions[1]}. Search again, or use the release that wrote "
            "the file."
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
    if version != _version(space):
        raise InputError(
            f'the field "version" is {version}, expected {_version(space)} for the search '
            f"space {space.name!r}. Search again, or use the release that wrote the file."
        )
    cells = data.get("cells")
    if not isinstance(cells, dict) or set(cells) != set(space.cells):
        raise InputError(
            f'the field "cells" must hold {list(space.cells)}, got {cells!r:.200}.'
        )
    edges = _version(space) == VERSION_OF_EDGES
    read = [_links(n, cells[n]) if edges else cells[n] for n in space.cells]
    # A cell that is not a list is reported by `Genotype`.
    tuples = (tuple(cell) if isinstance(cell, list) else cell for cell in read)
    return Genotype(space, tuple(tuples), data.get("fusion"))


def _links(name: str, cell: object) -> list[Link]:
    """The edges of a cell in a file."""
    fields = {"from", "to", "operation"}
    if not isinstance(cell, list) or not all(
        isinstance(edge, dict) and set(edge) == fields for edge in cell
    ):
        raise InputError(
            f'the cell "{name}" must list edges, each with "from", "to" and "operation", '
            f"got {cell!r:.200}."
        )
    return [Link(e["from"], e["to"], e["operation"]) for e in cell]


def _require_cell(space: SearchSpace, name: str, cell: Any) -> None:
    """Requires edges and operations that the space has."""
    links = _version(space) == VERSION_OF_EDGES
    edges = space.cells[name]
    kind = Link if links else str
    fits = isinstance(cell, tuple) and all(isinstance(edge, kind) for edge in cell)
    if not fits or (not links and len(cell) != edges):
        expected = (
            "edges, each a Link" if links else f"{edges} operations, one per edge"
        )
        raise InputError(f'the cell "{name}" must list {expected}, got {cell!r:.200}.')
    _require_choices(space, name, [e.operation for e in cell] if links else [*cell])
    if links:
        space.require_edges(name, cell)


def _require_choices(space: SearchSpace, name: str, operations: list) -> None:
    """Requires operations that the space has."""
    unknown = [op for op in operations if op not in space.choices]
    if unknown:
        near = did_you_mean(str(unknown[0]), space.choices)
        removed = ""
        if "none" in unknown:
            removed = (
                " An edge without operation ('none') is no part of an architecture."
            )
        raise InputError(
            f'the cell "{name}" has {unknown}, which the space {space.title} lacks; '
            f"it has {list(space.choices)}.{near}{removed}"
        )
