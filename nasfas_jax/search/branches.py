"""Networks of several branches, one for each input, that are fused after some stage.

A network is a list of named stages: the stem, its cells, the score. Every branch has an
input and weights of its own and the same architecture. After the stage that is the fusion
point, the mean over the branches passes through the remaining stages, which exist once;
a fusion after the last stage is the mean of the predicted maps.

In the supernet the fusion point is chosen by alphas of its own, one for each stage. Besides
the branches there is one more stream of features u. With b_i the mean of the branches after
stage i, and S_i that stage of the stream,

    u_0 = b_0,    u_i = (1 - r_i) S_i(u_{i-1}) + r_i b_i,    r_i = w_i / (w_0 + ... + w_i),

where w is the softmax of the alphas. If all stages were linear, the last u would be the sum
of the networks fused at each point, weighted by w; with certain alphas it is the network
that is fused there.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from nasfas_jax.errors import InputError
from nasfas_jax.graphs import Edge, Graph, Node, Operation, Panel

Stages = Mapping[str, Callable[[Any], Any]]


def parse(value: Any) -> tuple[str, ...] | None:
    """Names of branches from an option of a search space.

    Raises:
      InputError: not a list of different names.

    >>> parse(["static", "static:hsv"])
    ('static', 'static:hsv')
    """
    if value is None:
        return None
    names = tuple(value) if isinstance(value, list | tuple) else ()
    texts = all(isinstance(name, str) and name for name in names)
    if not names or not texts or len(set(names)) < len(names):
        raise InputError(
            "expected a list of different inputs, as ('static', 'dynamic:hsv'), or None for"
            f" one input, got {value!r}.",
            field="branches",
        )
    return names


def split(x: Array, branches: Sequence[str]) -> list[Array]:
    """The images of every branch, [N, H, W, C / branches], from their channels.

    Raises:
      InputError: a number of channels that the branches do not divide.
    """
    if x.shape[-1] % len(branches):
        raise InputError(
            f"expected images with as many channels for each of the {len(branches)} branches"
            f" {', '.join(branches)}, got {x.shape[-1]} channels. Give every branch a color"
            " space of three channels.",
            field="branches",
        )
    return jnp.split(x, len(branches), -1)


def chain(stages: Stages, x: Any) -> Any:
    """The output of all stages, one after the other."""
    return functools.reduce(lambda state, stage: stage(state), stages.values(), x)


def fused(net: Any, stages: Stages, x: Array, **call: Any) -> Array:
    """A network of an architecture; call it inside its ``nn.compact``.

    Args:
      net: the network, a module with ``genotype``, and ``stages``, the number of stages that
        one of its branches runs, or None.
      stages: all stages of the network.
      x: images, those of all branches on channels; of one branch in a branch.
      **call: keyword arguments of the branches' calls.

    Returns:
      The output of the last stage.
    """
    names = list(stages)
    if net.stages is not None:
        return chain({name: stages[name] for name in names[: net.stages]}, x)
    if net.genotype.fusion is None:
        return chain(stages, x)
    branches = net.genotype.space.branches
    count = names.index(net.genotype.fusion) + 1
    states = [
        net.clone(stages=count, parent=net, name=f"branch_{name}")(image, **call)
        for name, image in zip(branches, split(x, branches), strict=True)
    ]
    joined = jax.tree.map(lambda *each: sum(each) / len(each), *states)
    return chain({name: stages[name] for name in names[count:]}, joined)


def mixed(supernet: Any, x: Array, alphas: Any, **call: Any) -> Any:
    """The supernet of branches; call it inside its ``nn.compact``.

    Each stage is one ``scan`` over the branches and the fused features, so that its program
    is compiled once.

    Args:
      supernet: a module with ``space``, and ``stage``, the name of the only stage that it
        runs, or None.
      x: images, those of all branches on channels.
      alphas: alphas of the space, with 'fusion'.
      **call: other keyword arguments of the supernet's call.

    Returns:
      The output of the last stage.
    """

    def run(name: str, streams: Any) -> Any:
        module = supernet.clone(stage=name, parent=supernet, name=name)
        scanned = nn.scan(
            lambda module, carry, state: (carry, module(state, alphas, **call)),
            variable_axes={"params": 0, "batch_stats": 0},
            split_rngs={"params": True},
        )
        return scanned(module, (), streams)[1]

    def mean(streams: Any) -> Any:
        return jax.tree.map(lambda each: each[:count].mean(0), streams)

    names, count = supernet.space.stage_names, len(supernet.space.branches)
    streams = run(names[0], jnp.stack(split(x, supernet.space.branches)))
    fused = mean(streams)
    for name, rate in zip(names[1:], rates(alphas["fusion"])[1:], strict=True):
        streams = jax.tree.map(
            lambda each, own: jnp.concatenate([each[:count], own[None]]), streams, fused
        )
        streams = run(name, streams)
        fused = jax.tree.map(
            lambda each, joined, r=rate: (
                each[-1] + r.astype(each.dtype) * (joined - each[-1])
            ),
            streams,
            mean(streams),
        )
    return fused


def rates(alphas: Array) -> Array:
    """Share of the branches after each stage, ``w_i / (w_0 + ... + w_i)``; the first is 1.

    Args:
      alphas: [stages].
    """
    before = jax.lax.cumlogsumexp(alphas)[:-1]
    return jnp.concatenate(
        [jnp.ones_like(alphas[:1]), jax.nn.sigmoid(alphas[1:] - before)]
    )


def with_panel(graph: Graph, genotype: Any, names: Sequence[str]) -> Graph:
    """The picture of an architecture with a row that shows its branches and their fusion.

    Args:
      graph: its cells.
      genotype: the architecture.
      names: names of the stages.
    """
    if genotype.fusion is None:
        return graph
    inputs, row = genotype.space.branches, 2.0 + max(n.y for n in graph.nodes.values())
    boxes = {f"branch {name}": (0, row + i, name) for i, name in enumerate(inputs)}
    count, middle = f"x {len(inputs)}", row + (len(inputs) - 1) / 2
    column, last = 1, ""
    edges = []
    for name in names:
        own = f"stage {name}"
        early = names.index(name) <= names.index(genotype.fusion)
        boxes[own] = (column, middle, f"{name} {count}" if early else name)
        starts = [last] if last else [f"branch {branch}" for branch in inputs]
        edges += [Edge(start, own, lane=0.25) for start in starts]
        column, last = column + 1, own
        if name == genotype.fusion:
            boxes["fusion"] = (column, middle, "mean of branches")
            edges.append(Edge(own, "fusion"))
            column, last = column + 1, "fusion"
    nodes = {
        key: Node(0.74 * x, y, Operation(text), 0.84)
        for key, (x, y, text) in boxes.items()
    }
    panel = Panel("branches", tuple(boxes))
    return Graph(
        {**graph.nodes, **nodes},
        (*graph.edges, *edges),
        f"{graph.text}. Branches {', '.join(inputs)}, fused after {genotype.fusion}",
        (*graph.panels, panel),
    )
