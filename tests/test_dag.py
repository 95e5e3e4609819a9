"""Search spaces of cells: supernet, derivation, networks, cost and genotype files."""

import json

import dag_plain
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from nasfas_jax import nets, ops
from nasfas_jax.errors import InputError
from nasfas_jax.ops import convolution
from nasfas_jax.report import cells
from nasfas_jax.search import genotype, spaces
from nasfas_jax.search.baseline.space import BaselineSpace
from nasfas_jax.search.dag import kernels, mixture, network, structure, supernet
from nasfas_jax.search.genotype import Link

#: Distance of central differences.
H = 1e-6
TINY = {"stem_channels": (2, 2, 2), "channels": 4, "map_size": 2}
TINY_AUTO = {"stem_channels": (2, 2), "channels": 4, "map_size": 2}
SPACES = [
    ("nas_baseline", {"operation_space": "vanilla", **TINY}),
    ("nas_baseline", {"operation_space": "cd", "theta": 0.3, "lam": 0.6, **TINY}),
    ("auto_fas", TINY_AUTO),
]
#: With the operations that the other spaces lack.
FORWARD = [*SPACES, ("nas_baseline", {"operation_space": "pc_darts", **TINY})]


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def alphas_of(space, seed=1):
    drawn = space.init_alphas(jax.random.key(seed), jnp.float64)
    return jax.tree.map(lambda a: 1e3 * a, drawn)


@pytest.mark.parametrize(
    ("chosen", "stride", "side", "partial"),
    [(0, 2, 7, 1), (1, 1, 6, 2), (1, 2, 8, 2), (2, 2, 7, 4), (3, 1, 7, 2)],
)
def test_a_mixed_cell_is_its_edges_one_by_one(x64, chosen, stride, side, partial):
    """Every operation, at both strides, even and odd sides, with and without bypass."""
    name, options = FORWARD[chosen]
    space = spaces.get(name, **options, partial=partial, edge_weights=side != 7)
    kind = "reduction" if stride == 2 else "normal"
    net, own = supernet.MixedCells(space, stride), alphas_of(space)[kind]
    s0, s1 = draw(2, side, side, 4), draw(2, side, side, 4, seed=1)

    @jax.jit
    def run(s0, s1, alphas):
        weights, shares = space.weights(alphas), space.shares(alphas)
        call = (s0[None], s1, weights, shares, True)
        variables = net.init(jax.random.key(0), *call)
        fast, _ = net.apply(variables, *call, mutable=["batch_stats"])
        params = jax.tree.map(lambda leaf: leaf[0], variables["params"])
        return fast[0], dag_plain.cell(space, params, s0, s1, alphas, stride)

    fast, plain = run(s0, s1, own)
    assert fast.shape == (2, -(-side // stride), -(-side // stride), 16)
    np.testing.assert_allclose(fast, plain, atol=1e-10)


def test_derivatives_of_a_mixed_cell_are_those_of_its_edges(x64):
    """Slopes of the edge-by-edge form; second derivatives as slopes of the first ones."""
    space = spaces.get("nas_baseline", **TINY, partial=2)
    net, alphas = supernet.MixedCells(space, 2), alphas_of(space)["reduction"]
    s0, s1, cotangent = draw(2, 6, 6, 4), draw(2, 6, 6, 4, seed=1), draw(2, 3, 3, 16)

    def call(alphas):
        return s0[None], s1, space.weights(alphas), space.shares(alphas), True

    def fast(point):
        params, alphas = point
        variables = {"params": params, "batch_stats": stats}
        maps, _ = net.apply(variables, *call(alphas), mutable=["batch_stats"])
        return jnp.vdot(maps[0], cotangent)

    @jax.jit
    def plain(point):
        params, alphas = point
        params = jax.tree.map(lambda leaf: leaf[0], params)
        cell = dag_plain.cell(space, params, s0, s1, alphas, 2)
        return jnp.vdot(cell, cotangent)

    @jax.jit
    def derivatives(point, along):
        return jax.jvp(jax.grad(fast), (point,), (along,))

    init = jax.jit(lambda key: net.init(key, *call(alphas)))
    variables = jax.device_get(init(jax.random.key(0)))
    stats, point = variables["batch_stats"], (variables["params"], alphas)
    along, other = (
        jax.tree.map(lambda leaf, s=seed: draw(*leaf.shape, seed=s), point)
        for seed in (2, 3)
    )
    ends = [jax.tree.map(lambda x, d, h=h: x + h * d, point, along) for h in (-H, H)]
    gradient, product = derivatives(point, along)
    low, high = map(plain, ends)
    slope = (high - low) / (2 * H)
    np.testing.assert_allclose(optax.tree.vdot(gradient, along), slope, rtol=1e-6)
    low, high = (optax.tree.vdot(derivatives(end, along)[0], other) for end in ends)
    slope = (high - low) / (2 * H)
    np.testing.assert_allclose(optax.tree.vdot(product, other), slope, rtol=1e-6)


@pytest.mark.parametrize("name", ["nas_baseline", "auto_fas"])
def test_a_supernet_is_its_cells_one_by_one(x64, name, monkeypatch):
    """Stem, two equal cells, a reduction and head, at an odd side; running averages."""
    monkeypatch.setattr(structure, "LAYOUT", ("normal", "normal", "reduction"))
    tiny = TINY if name == "nas_baseline" else TINY_AUTO
    space = spaces.get(name, **tiny)
    net, alphas, x = space.supernet(), alphas_of(space), jnp.asarray(draw(2, 9, 9, 3))

    @jax.jit
    def run(x):
        variables = net.init(jax.random.key(0), x, alphas, train=False)
        maps, new = net.apply(variables, x, alphas, train=True, mutable=["batch_stats"])
        logits = dag_plain.network(space, variables["params"], x, alphas)
        logits = ops.resize(logits, space.map_size)
        stats = variables["batch_stats"], new["batch_stats"]
        averaged = net.apply(
            variables | {"batch_stats": new["batch_stats"]}, x, alphas, train=False
        )
        return maps, jax.nn.sigmoid(logits[..., 1] - logits[..., 0]), stats, averaged

    fast, plain, (old, new), averaged = run(x)
    np.testing.assert_allclose(fast, plain, atol=1e-10)
    assert jax.tree.structure(old) == jax.tree.structure(new)
    assert jax.tree.map(jnp.shape, old) == jax.tree.map(jnp.shape, new)
    # An edge that does not exist has parameters and averages, too.
    assert all(
        jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), old, new))
    )
    assert np.isfinite(averaged).all() and np.abs(averaged - fast).max() > 0


@pytest.mark.parametrize("side", [6, 7])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_strided_convolution_is_its_definition(x64, side, size):
    x, kernel = (
        jnp.asarray(draw(2, side, side + 1, 3)),
        jnp.asarray(draw(size, size, 3, 4)),
    )
    expected = dag_plain.convolve(x, kernel, stride=2)
    np.testing.assert_allclose(
        convolution.strided_convolution(x, kernel), expected, atol=1e-12
    )
    depthwise = jnp.asarray(draw(size, size, 1, 3))
    for stride, dilation in ((1, 1), (2, 1), (1, 2), (2, 2)):
        settings = {"stride": stride, "dilation": dilation}
        expected = dag_plain.convolve(x, depthwise, groups=3, **settings)
        y = ops.depthwise(x, depthwise, **settings)
        np.testing.assert_allclose(y, expected, atol=1e-12)


def test_average_pooling_divides_by_the_pixels_inside():
    x = jnp.ones((1, 5, 4, 2))
    np.testing.assert_allclose(ops.average_pool(x), np.ones((1, 3, 2, 2)), rtol=1e-6)


def one_hot(space, found):
    """Alphas that weigh the genotype's operations by 1, all others by 0."""
    alphas = {}
    for kind, links in zip(structure.KINDS, found.cells, strict=True):
        rows = np.full((14, len(space.operations)), -1e4)
        rows[:, space.operations.index("none")] = 0
        for link in links:
            row = structure.EDGES.index(link[:2])
            rows[row] = -1e4
            rows[row, space.operations.index(link.operation)] = 0
        alphas[kind] = {"alpha": rows}
    return alphas


LINKS = (
    *(Link(0, 2, "sep_conv_3"), Link(1, 2, "skip")),
    *(Link(0, 3, "sep_conv_5"), Link(2, 3, "CENTRAL")),
    *(Link(1, 4, "CENTRAL"), Link(3, 4, "skip")),
    *(Link(3, 5, "sep_conv_3"), Link(4, 5, "sep_conv_5")),
)


@pytest.mark.parametrize(
    ("central", "stride"), [("cdc", 1), ("dil_conv_3", 2), ("dil_conv_5", 1)]
)
def test_a_supernet_cell_of_one_hot_alphas_is_the_derived_cell(x64, central, stride):
    """With all channels searched and no edge weights; kernels moved.

    Operations with parameters and skips: a supernet normalizes pooling, which a derived
    network does not.
    """
    kind = structure.KINDS[stride - 1]
    kinds = {"cdc": "cd", "dil_conv_3": "vanilla", "dil_conv_5": "pc_darts"}
    options = {"operation_space": kinds[central], **TINY}
    space = spaces.get("nas_baseline", **options, partial=1, edge_weights=False)
    links = tuple(
        link._replace(operation=link.operation.replace("CENTRAL", central))
        for link in LINKS
    )
    found = genotype.Genotype(space, (links, links))
    mixed, alphas = supernet.MixedCells(space, stride), one_hot(space, found)[kind]
    s0, s1 = draw(2, 7, 7, 4), draw(2, 7, 7, 4, seed=1)
    net = network.DerivedCell(links, stride)

    @jax.jit
    def run(s0, s1):
        call = (s0[None], s1, space.weights(alphas), space.shares(alphas), True)
        variables = mixed.init(jax.random.key(0), *call)
        params = jax.tree.map(lambda leaf: leaf[0], variables["params"])
        one, _ = mixed.apply(variables, *call, mutable=["batch_stats"])
        moved = net.init(jax.random.key(1), s0, s1, train=True)
        for link in links:
            own = dag_plain.own_kernels(space, params, *link[:2], stride, 4)
            layer = moved["params"].get(f"edge_{link.start}_{link.end}", {})
            _move(link.operation, own, layer)
        other, _ = net.apply(moved, s0, s1, train=True, mutable=["batch_stats"])
        return one, other

    one, other = run(s0, s1)
    np.testing.assert_allclose(one[0], other, atol=1e-10)


def _move(operation, own, layer):
    if operation == "skip" and layer:
        layer["FactorizedReduce_0"]["kernel"] = own["skip"]
    elif operation == "cdc":
        layer["Conv_0"]["kernel"] = own["cdc"]
    elif operation != "skip":
        dilated = operation.startswith("dil_conv")
        stages = ("first",) if dilated else ("first", "second")
        for i, stage in enumerate(stages):
            layer[f"Separable_{i}"]["kernel"] = own[f"{operation}_{stage}"]
            layer[f"Separable_{i}"]["depthwise"] = own[f"{operation}_{stage}_depthwise"]


def test_the_papers_spaces():
    vanilla = spaces.get("nas_baseline", operation_space="vanilla")
    assert len(vanilla.operations) == len(spaces.get("nas_baseline").operations) == 7
    assert set(vanilla.operations) ^ set(spaces.get("nas_baseline").operations) == {
        *("avg_pool", "dil_conv_3", "cdp", "cdc"),
    }
    assert len(spaces.get("auto_fas").operations) == 6
    assert len(structure.EDGES) == 14
    assert [g.stop - g.start for g in structure.GROUPS] == [2, 3, 4, 5]
    assert [structure.EDGES[g.start][1] for g in structure.GROUPS] == [2, 3, 4, 5]
    kinds = [kind for kind, _ in vanilla.layout]
    assert kinds == 3 * ["normal", "normal", "reduction"]
    assert spaces.get("nas_baseline", head="scalar").map_size == 1
    assert spaces.get("auto_fas", head="scalar").map_size == 1
    with pytest.raises(
        InputError, match=r"head: .*'scalar', got 'scaler'. Did you mean"
    ):
        spaces.get("auto_fas", head="scaler")


def test_derive_keeps_the_two_strongest_edges_of_each_node(x64):
    """Against the definition in loops; ties go to the earlier edge and operation."""
    space = spaces.get("nas_baseline", **TINY)
    for seed in range(3):
        alphas = jax.tree.map(np.array, alphas_of(space, seed))
        alphas["normal"]["alpha"][:, 0] = 9.0  # none, which is never kept
        found = space.derive(alphas)
        for kind, links in zip(structure.KINDS, found.cells, strict=True):
            alpha, beta = alphas[kind]["alpha"], alphas[kind]["beta"]
            for node in range(2, 6):
                rows = [i for i, (_, end) in enumerate(structure.EDGES) if end == node]
                share = np.exp(beta[rows]) / np.exp(beta[rows]).sum()
                weights = np.exp(alpha[rows]) / np.exp(alpha[rows]).sum(
                    -1, keepdims=True
                )
                strength = (share[:, None] * weights)[:, 1:]
                best = sorted(range(node), key=lambda i: -strength[i].max())[:2]
                expected = {
                    (i, space.operations[1 + strength[i].argmax()]) for i in best
                }
                kept = {(k.start, k.operation) for k in links if k.end == node}
                assert kept == expected
    flat = jax.tree.map(np.zeros_like, alphas)
    tied = space.derive(flat).cells[0]
    assert tied == tuple(Link(s, n, "skip") for n in range(2, 6) for s in (0, 1))


def test_edge_weights_are_a_softmax_over_the_edges_into_a_node(x64):
    space = spaces.get("nas_baseline", **TINY)
    own = alphas_of(space)["normal"]
    shares = np.asarray(space.shares(own))
    assert [round(shares[g].sum(), 12) for g in structure.GROUPS] == [1, 1, 1, 1]
    np.testing.assert_allclose(space.weights(own).sum(-1), shares)


@pytest.mark.parametrize(("name", "options"), SPACES)
def test_a_genotype_file_holds_edges(tmp_path, name, options):
    found = spaces.get(name, **options).sample(3)
    genotype.save(tmp_path / "genotype.json", found)
    stored = json.loads((tmp_path / "genotype.json").read_text())
    assert stored["version"] == 2
    assert set(stored["cells"]["normal"][0]) == {"from", "to", "operation"}
    loaded = genotype.load(tmp_path / "genotype.json")
    assert loaded == found and nets.SearchedNet(loaded) == nets.SearchedNet(found)
    assert genotype.parse(spaces.get("nas_fas").sample(0).as_dict())  # version 1


def _stored(**edge):
    stored = json.loads(json.dumps(spaces.get("auto_fas").sample(0).as_dict()))
    stored["cells"]["normal"][0] |= edge
    return stored


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (_stored(operation="sep_conv_7"), r"lacks; .* Did you mean sep_conv_5"),
        (_stored(operation="none"), r"\['none'\].* is no part of an architecture"),
        (_stored(**{"from": 7}), "edge from 7 to 2"),
        (_stored(to=5), "1 edge into node 2"),
        (_stored(more=1), 'each with "from", "to" and "operation"'),
        (
            _stored() | {"version": 1},
            "is 1, expected 2 for the search space 'auto_fas'",
        ),
        (_stored() | {"version": 3}, "reads versions 1 and 2"),
    ],
)
def test_wrong_genotypes_name_the_edge(stored, message):
    with pytest.raises(InputError, match=message):
        genotype.parse(stored)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("auto_fas", {"channels": 6}, r"multiple of partial, 4.*edge 0 -> 2 of cell 0"),
        ("auto_fas", {"stem_channels": (4,)}, "stem_channels: expected 2 values"),
        ("nas_baseline", {"operation_space": "vanila"}, "Did you mean vanilla"),
        (
            "nas_baseline",
            {"operation_space": "vanilla", "theta": 0.5},
            "theta: expected None, since it belongs to 'cdc'",
        ),
    ],
)
def test_wrong_options_are_refused(name, options, message):
    with pytest.raises(InputError, match=message):
        spaces.get(name, **options)


def test_a_space_of_unknown_or_no_operations_is_refused():
    class Own(BaselineSpace):
        names = ("none", "skip", "sep_conv_7")

        @property
        def operations(self):
            return self.names

    with pytest.raises(InputError, match=r"operations: .*sep_conv_7.* mean sep_conv_"):
        Own()
    Own.names = ("none",)
    with pytest.raises(InputError, match="operations: expected one beside 'none'"):
        Own()


@pytest.mark.parametrize(("name", "options"), SPACES)
def test_relative_macs_is_the_expectation(x64, name, options):
    """One architecture's share of the largest; 0 where all cells skip or pool at stride 1."""
    space = spaces.get(name, **options)
    found, alphas = space.sample(0), {}
    for kind, rows in one_hot(space, found).items():
        beta = np.full(14, -1e4)
        for link in found.cells[structure.KINDS.index(kind)]:
            beta[structure.EDGES.index(link[:2])] = 0
        alphas[kind] = rows | {"beta": beta}
    macs = space.edge_macs()
    expected = sum(
        macs[kind][structure.EDGES.index(k[:2]), space.operations.index(k.operation)]
        for kind, links in zip(structure.KINDS, found.cells, strict=True)
        for k in links
    )
    most = sum(
        sum(sorted(macs[kind].max(-1)[g])[-2:])
        for kind in structure.KINDS
        for g in structure.GROUPS
    )
    np.testing.assert_allclose(space.relative_macs(alphas), expected / most, rtol=1e-12)


def test_auto_fas_has_the_size_of_the_paper():
    """Table 4: 0.27 M parameters, 0.53 G multiply-adds; 108 to 14 through the odd 27."""
    space, measured = spaces.get("auto_fas"), []
    image = jax.ShapeDtypeStruct((1, 108, 108, 3), np.float32)
    for seed in range(3):
        net = space.network(space.sample(seed))
        maps, variables = jax.eval_shape(
            lambda key, x: net.init_with_output(key, x, train=False),  # noqa: B023
            jax.random.key(0),
            image,
        )
        assert maps.shape == (1, 14, 14)
        measured.append((nets.parameters(variables), nets.macs(net, image.shape)))
    parameters, macs = np.mean(measured, 0)
    assert abs(parameters / 0.27e6 - 1) < 0.2
    assert abs(macs / 0.53e9 - 1) < 0.2


@pytest.mark.parametrize(("name", "options"), SPACES)
def test_cells_are_drawn(name, options):
    space = spaces.get(name, **options)
    graph = space.graph(space.sample(0))
    drawn = [node.operation.name for node in graph.nodes.values()]
    assert drawn.count("concatenate") == 2 and len(graph.panels) == 2
    assert len([n for n in drawn if n in space.choices]) == 16
    boxes = {key: cells.box(node) for key, node in graph.nodes.items()}
    turns = [
        (edge.start.partition("_")[0], *cells.route(boxes, edge)[1:3])
        for edge in graph.edges
        if graph.nodes[edge.end].operation.name in space.choices
    ]
    # No two arrows into the operations of a cell share a vertical line; all lead down.
    assert len({(kind, x) for kind, (x, _), _ in turns}) == len(turns) == 16
    assert all(high < low for _, (_, high), (_, low) in turns)
    assert cells.draw_graph(graph).data


def test_kernels_are_drawn_by_hes_rule(x64):
    """As by an initializer of each kernel: moments, and the ends of the distribution."""
    space = spaces.get("nas_baseline", operation_space="pc_darts")
    layout, width, lead = kernels.Layout.of(space, 2), 8, (2, 4, 4)
    params = kernels.init(jax.random.key(0), space, layout, lead, width, jnp.float64)
    for name, kernel in kernels.split(layout, params["kernels"], width).items():
        initializer = jax.nn.initializers.he_normal(batch_axis=(0, 1, 2))
        drawn = initializer(jax.random.key(1), kernel.shape, jnp.float64)
        np.testing.assert_allclose(kernel.mean(), 0, atol=0.1 * drawn.std())
        np.testing.assert_allclose(kernel.std(), drawn.std(), rtol=0.05, err_msg=name)
        np.testing.assert_allclose(abs(kernel).max(), abs(drawn).max(), rtol=0.03)


@pytest.mark.parametrize("per", ["layer", "channel"])
def test_edges_have_learned_theta_and_lambda(x64, per):
    """Against one convolution and one pooling an edge, and by derivatives to order two."""
    theta, lam = nets.Learned(0.6, per), nets.Learned(0.3, per)
    space = spaces.get("nas_baseline", **TINY, theta=theta, lam=lam, partial=2)
    layout, width, edges = kernels.Layout.of(space, 1), 2, 3
    key = jax.random.key(0)
    params = kernels.init(key, space, layout, (1, 1, edges), width, jnp.float64)
    params = {name: leaf[0, 0] for name, leaf in params.items()}
    own = {name: draw(*params[name].shape) for name in ("theta", "lam")}
    assert own["theta"].shape == (() if per == "layer" else (edges * width,))
    weights = jax.nn.softmax(draw(edges, len(layout.names), seed=3))
    x = draw(1, 4, 4, 4)

    def mixed(own):
        steps = {"weights": weights, "shares": np.ones(edges), "params": params | own}
        return mixture.mix_source(space, layout, x, steps, None)[0]

    y = jax.jit(mixed)(own)
    channels = np.broadcast_to(theta.at(own["theta"]), edges * width)
    by_edge = channels.reshape(edges, 1, 1, 1, width)
    of_pool = np.broadcast_to(lam.at(own["lam"]), (1, 1, 1, width))
    for edge in range(edges):
        named = kernels.split(layout, params["kernels"][edge], width)
        plain = [
            dag_plain.candidate(name, x[..., :width], named, 1, by_edge[edge], of_pool)
            for name in layout.names
        ]
        total = sum(w * one for w, one in zip(weights[edge], plain, strict=True))
        shuffled = ops.shuffle(jnp.concatenate([total, x[..., width:]], -1), 2)
        np.testing.assert_allclose(y[edge], shuffled, atol=1e-10)

    def loss(own):
        return jnp.square(mixed(own)).mean()

    for mode in ("fwd", "rev"):
        check_grads(jax.jit(loss), (own,), 2, [mode], atol=1e-5, rtol=1e-5)
