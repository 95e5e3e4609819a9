"""Memory of a compiled program, and its operations between devices."""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

#: Operations between devices, as XLA names them.
KINDS = (
    *("all-reduce", "all-gather", "reduce-scatter", "all-to-all"),
    *("collective-permute", "collective-broadcast", "ragged-all-to-all"),
)
_BITS = {"pred": 8, "bf16": 16, "f8": 8}
_SHAPE = re.compile(r"\b([a-z]+\d*)\w*\[([\d,]*)\]")
_CALL = re.compile(rf"= (.*?) ({'|'.join(KINDS)})(?:-start)?\(")
_LISTS = re.compile(r"(?:replica_groups|source_target_pairs)=\{(\{.*?\})\}")
_IOTA = re.compile(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) .*\{$")
_WHILE = re.compile(r" while\(.*condition=%?([\w.\-]+), body=%?([\w.\-]+)")
_CALLED = re.compile(
    r"(?:calls|to_apply|body|condition|\w+_computations?)=(?:\{([^}]*)\}|(%[\w.\-]+))"
)
_NAME = re.compile(r'op_name="([^"]*)"')


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes of one device, as planned by XLA.

    Attributes:
      arguments: state and batch.
      outputs: new state and metrics, without those that reuse the memory of arguments.
      temporaries: intermediate values.
      code: the program; 0 where the compiler does not say.
    """

    arguments: int
    outputs: int
    temporaries: int
    code: int

    @classmethod
    def of(cls, program: jax.stages.Compiled) -> "Memory":
        """The memory of a compiled program."""
        found: Any = program.memory_analysis()
        return cls(
            arguments=found.argument_size_in_bytes,
            outputs=found.output_size_in_bytes - found.alias_size_in_bytes,
            temporaries=found.temp_size_in_bytes,
            code=found.generated_code_size_in_bytes,
        )

    @property
    def total(self) -> int:
        """The sum of all kinds."""
        return self.arguments + self.outputs + self.temporaries + self.code


@dataclasses.dataclass(frozen=True)
class Collective:
    """One operation between devices in a compiled program.

    Attributes:
      kind: one of `KINDS`.
      bytes: size of its result on one device.
      axes: axes of the mesh that it crosses.
      times: executions per step: the turns of the loops around it, where their number is
        a constant of the program; both branches of a condition are counted.
      name: path of the operation in the traced program, as 'jit(step)/shard_map/psum'.
    """

    kind: str
    bytes: int
    axes: tuple[str, ...]
    times: int
    name: str

    @property
    def inside_episode(self) -> bool:
        """Whether it crosses ``episode`` and is not the mean over episodes at the end."""
        of_mean = self.name.endswith("shard_map/psum") and self.kind == "all-reduce"
        return "episode" in self.axes and not of_mean


def collectives(text: str, mesh: Mesh) -> list[Collective]:
    """The operations between devices of a program.

    Args:
      text: HLO of a compiled program, from ``Compiled.as_text``.
      mesh: mesh that it was compiled for.
    """
    bodies = dict(_computations(text))
    times = _times(bodies)
    return [
        Collective(
            kind=call[2],
            bytes=_size(call[1], started=f"{call[2]}-start(" in line),
            axes=_axes(line, mesh),
            times=times.get(name, 1),
            name=(_NAME.search(line) or ["", ""])[1],
        )
        for name, lines in bodies.items()
        for line in lines
        if (call := _CALL.search(line))
    ]


def _computations(text: str) -> Iterator[tuple[str, list[str]]]:
    """Names and lines of the computations of an HLO program; the entry's name is ''."""
    name, lines = None, []
    for line in text.splitlines():
        if found := _COMPUTATION.match(line):
            name, lines = "" if line.startswith("ENTRY") else found[1], []
        elif line == "}" and name is not None:
            yield name, lines
            name = None
        elif name is not None:
            lines.append(line)


def _times(bodies: dict[str, list[str]]) -> dict[str, int]:
    """Executions of each computation in one run of the program."""
    calls = {name: list(_calls(lines, bodies)) for name, lines in bodies.items()}
    total: Counter[str] = Counter()
    pending = [("", 1)]
    while pending:
        name, times = pending.pop()
        total[name] += times
        pending += [(called, times * turns) for called, turns in calls[name]]
    return total


def _calls(lines: list[str], bodies: dict[str, list[str]]) -> Iterator[tuple[str, int]]:
    """Computations that one calls, and how often."""
    for line in lines:
        loop = _WHILE.search(line)
        turns = _turns(bodies.get(loop[1], [])) if loop else 1
        for several, one in _CALLED.findall(line):
            for called in re.findall(r"%([\w.\-]+)", several or one):
                if called in bodies:
                    yield called, turns


def _turns(condition: list[str]) -> int:
    """Turns of a loop that counts from 0 to a constant; 1 where there is none."""
    bounds = {
        int(n) for line in condition for n in re.findall(r" constant\((\d+)\)", line)
    }
    return max(1, bounds.pop()) if len(bounds) == 1 else 1


def _size(result: str, *, started: bool) -> int:
    """Bytes of a result; one that is started holds its operand first."""
    sizes = [
        math.prod(map(int, dims.split(","))) if dims else 1
        for _, dims in _SHAPE.findall(result)
    ]
    bits = [
        _BITS.get(kind) or int(kind.lstrip("usfcb"))
        for kind, _ in _SHAPE.findall(result)
    ]
    each = [size * bit // 8 for size, bit in zip(sizes, bits, strict=True)]
    return max(each, default=0) if started else sum(each)


def _axes(line: str, mesh: Mesh) -> tuple[str, ...]:
    """Axes of the mesh along which the devices of a group differ."""
    places = np.stack(np.unravel_index(np.arange(mesh.size), mesh.devices.shape), -1)
    crossed = np.zeros(len(mesh.axis_names), bool)
    for group in _groups(line, mesh.size):
        crossed |= (places[group] != places[group[0]]).any(0)
    return tuple(a for a, is_in in zip(mesh.axis_names, crossed, strict=True) if is_in)


def _groups(line: str, count: int) -> list[list[int]]:
    """Groups of devices of an operation; all devices where it names none."""
    if found := _IOTA.search(line):
        shape, dims, order = (
            [int(n) for n in one.split(",")] if one else None for one in found.groups()
        )
        assert shape and dims
        devices = np.arange(math.prod(dims)).reshape(dims)
        return np.transpose(devices, order).reshape(shape[0], -1).tolist()
    if found := _LISTS.search(line):
        lists = re.findall(r"\{([\d,]+)\}", found[1])
        return [[int(n) for n in one.split(",")] for one in lists]
    return [list(range(count))]
