"""Search spaces, the supernet, and the networks of genotypes."""

import dataclasses
import functools
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasfas_jax import nets, ops
from nasfas_jax.errors import InputError
from nasfas_jax.search import branches, fas, genotype, spaces
from nasfas_jax.search.fas import options, skeleton, supernet

SMALL = {"stem_channels": 2, "channels": 4, "head_channels": 2, "map_size": 4}


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def small_genotype(*cells, **options):
    """All three cells alike, unless told."""
    cells = cells if len(cells) == 3 else cells * 3
    return genotype.Genotype(spaces.get("nas_fas", **SMALL | options), cells)


def test_the_space_of_the_paper():
    space = spaces.get("nas_fas")
    assert space.operations == (
        *("none", "skip", "cdc"),
        *("cdc_2_1.2", "cdc_2_1.4", "cdc_2_1.6", "cdc_2_1.8", "cdc_2_2.0"),
    )
    assert len(space.operations) ** options.EDGES == 8**4
    assert (space.own_theta, space.trial) == (0.7, "CD-CDP-Att")
    vanilla = spaces.get("nas_fas", convolution="conv", pool="max", attention=False)
    assert vanilla.operations[2:4] == ("conv", "conv_2_1.2")
    assert (vanilla.own_theta, vanilla.trial) == (0.0, "Van-Max")
    double = space.for_retraining()
    assert (double.stem_channels, double.channels, double.head_channels) == (
        *(64, 128, 128),
    )


@pytest.mark.parametrize(
    ("channels", "widths"),
    [
        (128, [153, 179, 204, 230, 256]),
        (16, [19, 22, 25, 28, 32]),
        (1, [1, 1, 1, 1, 2]),
    ],
)
def test_hidden_widths_are_truncated_not_rounded(channels, widths):
    operations = spaces.get("nas_fas").operations[3:]
    assert [options.hidden_width(op, channels) for op in operations] == widths


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": "average"}, "pool: expected one of 'max', 'cdp', got 'average'"),
        ({"convolution": "cd"}, "convolution: .* 'conv', got 'cd'. Did you mean cdc"),
        ({"channels": 6}, "channels: expected a multiple of partial, 4, .* got 6"),
        ({"partial": 0}, "partial: expected an integer of 1 or more, got 0"),
        ({"map_size": "32"}, "map_size: expected an integer of 1 or more, got '32'"),
        ({"attention": "yes"}, "attention: expected True or False, got 'yes'"),
        (
            {"width": 1},
            "width: expected one of the options of .* 'nas_fas', convolution, pool",
        ),
    ],
)
def test_a_wrong_space_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        spaces.get("nas_fas", **options)
    with pytest.raises(
        ValueError, match=r"name: expected one of .*'nas_fas', got 'darts'"
    ):
        spaces.get("darts")


def loop_shuffle(x, groups):
    """Channel ``g * (C / groups) + i`` goes to ``i * groups + g`` (PC-DARTS)."""
    y = np.empty_like(x)
    each = x.shape[-1] // groups
    for g in range(groups):
        for i in range(each):
            y[..., i * groups + g] = x[..., g * each + i]
    return y


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_shuffle_is_its_loop(groups):
    x = draw(2, 3, 3, 8)
    shuffled = ops.shuffle(jnp.asarray(x, jnp.float32), groups)
    np.testing.assert_array_equal(shuffled, loop_shuffle(x, groups).astype(np.float32))


def block(x, kernel, theta):
    """CDC, the batch's normalization, ReLU; in NumPy but for CDC."""
    y = np.asarray(ops.cdc(jnp.asarray(x), jnp.asarray(kernel), theta))
    y = (y - y.mean((0, 1, 2))) / np.sqrt(y.var((0, 1, 2)) + 1e-5)
    return np.maximum(y, 0)


def candidates(space, params, x):
    """Every operation of an edge apart, each from its own share of the kernels."""
    width, theta = x.shape[-1], space.own_theta
    first, second = (params[name]["kernel"] for name in ("first", "second"))
    outputs = [np.zeros_like(x), x, block(x, first[..., :width], theta)]
    start = width
    for i, operation in enumerate(space.operations[3:]):
        stop = start + options.hidden_width(operation, width)
        hidden = block(x, first[..., start:stop], theta)
        rows = slice(start - width, stop - width)
        kernel = second[:, :, rows, i * width : (i + 1) * width]
        outputs.append(block(hidden, kernel, theta))
        start = stop
    return outputs


@pytest.mark.parametrize(("partial", "convolution"), [(2, "cdc"), (1, "conv")])
def test_an_edge_is_the_weighted_sum_of_its_operations(x64, partial, convolution):
    space = spaces.get("nas_fas", partial=partial, convolution=convolution)
    edge, x = supernet.MixedEdge(space), draw(2, 5, 4, 6)

    @jax.jit
    def run(params, alpha):
        variables = {"params": params, "batch_stats": stats}
        theta, stores = space.own_theta, ["batch_stats"]
        return edge.apply(variables, x, alpha, theta, True, mutable=stores)[0][0]

    alpha = draw(8, seed=1)
    init = jax.jit(lambda key: edge.init(key, x, alpha, space.own_theta, False))
    variables = jax.device_get(init(jax.random.key(0)))
    stats, params = variables["batch_stats"], variables["params"]
    width = 6 // partial
    outputs = candidates(space, params, x[..., :width])

    def expected(weights):
        mixed = sum(w * y for w, y in zip(weights, outputs, strict=True))
        joined = np.concatenate([mixed, x[..., width:]], -1)
        return loop_shuffle(joined, partial)

    weights = np.exp(alpha) / np.exp(alpha).sum()
    np.testing.assert_allclose(run(params, alpha), expected(weights), atol=1e-12)
    for i in range(8):  # alphas so far apart that softmax picks one operation
        one = 1e3 * np.eye(8)[i]
        np.testing.assert_allclose(run(params, one), expected(np.eye(8)[i]), atol=1e-12)


def test_first_alphas_are_small_and_of_the_space():
    space = spaces.get("nas_fas")
    alphas = space.init_alphas(jax.random.key(0))
    assert {cell: x.shape for cell, x in alphas.items()} == dict.fromkeys(
        options.CELLS, (4, 8)
    )
    values = np.concatenate([np.asarray(x).ravel() for x in alphas.values()])
    assert 0.5e-3 < values.std() < 2e-3 and len(set(values)) == values.size


def test_a_supernet_of_one_hot_alphas_is_the_searched_network(x64):
    """With all channels through the candidates, kernels and running averages moved."""
    cells = (
        ("skip", "cdc", "skip", "cdc_2_1.4"),
        ("cdc_2_2.0", "skip", "skip", "skip"),
        ("skip", "skip", "cdc_2_1.2", "cdc"),
    )
    found = small_genotype(*cells, partial=1)
    space, image = found.space, draw(2, 16, 16, 3)
    mixed, net = supernet.Supernet(space), nets.SearchedNet(found)
    alphas = {
        name: 1e3 * np.array([[op == o for o in space.operations] for op in cell])
        for name, cell in zip(options.CELLS, cells, strict=True)
    }

    @jax.jit
    def start(key):
        key, one, two = jax.random.split(key, 3)
        return (
            mixed.init(one, image, alphas, train=False),
            net.init(two, image, train=False),
        )

    super_variables, variables = jax.device_get(start(jax.random.key(0)))
    params, moved = super_variables["params"], variables["params"]
    for name in [name for name in moved if name in params]:
        moved[name] = params[name]  # stem, attention, head
    for name, cell in zip(options.CELLS, cells, strict=True):
        first, second = (params[name][part]["kernel"] for part in ("first", "second"))
        for edge, operation in enumerate(cell):
            label = f"{name}_{edge}"
            if operation == "cdc":
                moved[label]["kernel"] = first[edge][..., :4]
            elif operation != "skip":
                i = space.operations.index(operation) - 3
                widths = [options.hidden_width(op, 4) for op in space.operations[3:]]
                begin, width = sum(widths[:i]), widths[i]
                wide = first[edge][..., 4 + begin : 4 + begin + width]
                narrow = second[edge][:, :, begin : begin + width, 4 * i : 4 * i + 4]
                moved[f"{label}_wide"]["kernel"] = wide
                moved[label]["kernel"] = narrow

    @jax.jit
    def both(super_variables, variables):
        call = {"train": True, "mutable": ["batch_stats"]}
        return (
            mixed.apply(super_variables, image, alphas, **call)[0],
            net.apply(variables | {"params": moved}, image, **call)[0],
        )

    one, other = both(super_variables, variables)
    assert one.shape == (2, 4, 4) and one.max() > 0
    np.testing.assert_allclose(one, other, atol=1e-12)


class Recorder(nn.Module):
    """`skeleton.stages` with cells that add 1, 2 and 3 and record their input."""

    space: fas.FASSpace
    theta: float
    lam: float

    @nn.compact
    def __call__(self, x):
        seen = {}

        def cell(name, x):
            seen[name] = x
            return x + 1 + options.CELLS.index(name)

        given = {"theta": self.theta, "lam": self.lam, "train": False}
        stages = skeleton.stages(self.space, cell, **given)
        return branches.chain(stages, x), seen


@pytest.mark.parametrize(("attention", "pool"), [(True, "cdp"), (False, "max")])
def test_which_feeds_which_in_the_skeleton(x64, attention, pool):
    """NAS-FAS figure 6: attention is seen by the head, the next cell by none."""
    space = spaces.get("nas_fas", **SMALL, attention=attention, pool=pool)
    net, image = Recorder(space, 0.4, 0.3), draw(2, 16, 16, 3)

    def written_out(params, x):
        def conv(x, name):
            """At its start BatchNorm's averages are 0 and 1."""
            x = ops.cdc(x, params[name]["kernel"], 0.4)
            return nn.relu(x / np.sqrt(1 + 1e-5) if name != "head_1" else x)

        inputs, levels, x = [], [], conv(conv(x, "stem_0"), "stem_1")
        for i, name in enumerate(options.CELLS):
            inputs.append(x)
            x = x + 1 + i
            x = level = ops.cdp(x, 0.3) if pool == "cdp" else ops.max_pool(x)
            if attention:
                kernel = params[f"{name}_attention"]["kernel"]
                pooled = jnp.stack([x.mean(-1), x.max(-1)], -1)
                level = x * nn.sigmoid(ops.cdc(pooled, kernel, 0.0))
            levels.append(ops.resize(level, 4))
        maps = conv(conv(jnp.concatenate(levels, -1), "head_0"), "head_1")
        return maps[..., 0], dict(zip(options.CELLS, inputs, strict=True))

    @jax.jit
    def run(key, image):
        variables = net.init(key, image)
        return net.apply(variables, image), written_out(variables["params"], image)

    (maps, seen), (expected, inputs) = run(jax.random.key(0), image)
    assert {name: x.shape[1] for name, x in seen.items()} == {
        "low": 16,
        "mid": 8,
        "high": 4,
    }
    for name in options.CELLS:
        np.testing.assert_allclose(seen[name], inputs[name], atol=1e-12)
    assert maps.shape == (2, 4, 4) and maps.max() > 0
    np.testing.assert_allclose(maps, expected, atol=1e-12)


def test_theta_and_lam_are_swept_and_differentiated(x64):
    """Through the supernet and a searched network, beside central differences."""
    found = small_genotype(("cdc", "skip", "skip", "skip"))
    image, alphas = draw(1, 8, 8, 3), {cell: draw(4, 8) for cell in options.CELLS}
    mixed, net = supernet.Supernet(found.space), nets.SearchedNet(found)

    @jax.jit
    def start(key):
        return (
            mixed.init(key, image, alphas, train=False),
            net.init(key, image, train=False),
        )

    variables = start(jax.random.key(0))

    def total(theta, lam):
        call = {"train": True, "mutable": ["batch_stats"], "theta": theta, "lam": lam}
        maps = (
            mixed.apply(variables[0], image, alphas, **call)[0],
            net.apply(variables[1], image, **call)[0],
        )
        return jnp.stack([jnp.square(m).sum() for m in maps])

    points = np.array([[0.7, 0.7], [0.2, 0.5]])
    steps = 1e-6 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    moved = (points[:, None] + steps).reshape(-1, 2)

    @jax.jit
    def compute(points, moved):
        slopes = jax.vmap(jax.jacrev(total, (0, 1)))(points[:, 0], points[:, 1])
        return slopes, jax.vmap(total)(moved[:, 0], moved[:, 1])

    (by_theta, by_lam), values = compute(points, moved)
    values = np.asarray(values).reshape(2, 4, 2)
    for slope, plus, minus in ((by_theta, 0, 1), (by_lam, 2, 3)):
        expected = (values[:, plus] - values[:, minus]) / 2e-6
        np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-8)
        assert (np.abs(slope) > 1e-6).all()


def shapes(net, size=256):
    image = jnp.zeros((1, size, size, 3))
    return jax.eval_shape(
        lambda key: net.init(key, image, train=False), jax.random.key(0)
    )


def test_cdcn_pp_has_the_parameters_of_the_paper():
    assert nets.parameters(shapes(nets.CDCNpp())) == 2_257_352
    assert fas.CDCN_PP.space.partial == 1  # no channel passes by


def test_a_searched_network_holds_what_its_genotype_says():
    skips = ("skip",) * 4
    bare = nets.SearchedNet(small_genotype(skips, attention=False))
    assert set(shapes(bare, 8)["params"]) == {"stem_0", "stem_1", "head_0", "head_1"}
    one = small_genotype(skips, ("cdc_2_1.8", *skips[1:]), skips)
    params = shapes(nets.SearchedNet(one), 8)["params"]
    assert {name for name in params if name.startswith(options.CELLS)} == {
        *("low_attention", "mid_attention", "high_attention", "mid_0", "mid_0_wide"),
    }
    assert params["mid_0_wide"]["kernel"].shape == (3, 3, 4, 7)
    assert params["mid_0"]["kernel"].shape == (3, 3, 7, 4)
    windows = [params[f"{c}_attention"]["kernel"].shape[0] for c in options.CELLS]
    assert windows == [7, 5, 3]


def test_a_network_is_rebuilt_from_its_description(tmp_path):
    saved = spaces.get("nas_fas").sample(0)
    genotype.save(tmp_path / "genotype.json", saved)
    description = nets.describe("searched", genotype_file=tmp_path / "genotype.json")
    stored = json.loads(json.dumps(description))
    assert nets.from_description(stored) == nets.SearchedNet(saved)
    assert nets.from_description(nets.describe("cdcn_pp")) == nets.CDCNpp()
    stored["genotype"]["version"] = 7
    with pytest.raises(InputError, match='"version" is 7'):
        nets.from_description(stored)


def test_parameters_keep_their_names_and_shapes():
    """Stored networks and searches load by these names."""
    found = small_genotype(("cdc", "skip", "cdc_2_1.4", "skip"))
    space, image = found.space, jnp.zeros((1, 8, 8, 3))

    def kernels(net, *arguments):
        init = functools.partial(net.init, train=False)
        params = jax.eval_shape(init, jax.random.key(0), image, *arguments)["params"]
        return {
            "/".join(key.key for key in path[:-1]): leaf.shape
            for path, leaf in jax.tree_util.tree_leaves_with_path(params)
            if path[-1].key == "kernel"
        }

    around = {
        "stem_0": (3, 3, 3, 2),
        "stem_1": (3, 3, 2, 4),
        **{
            f"{c}_attention": (k, k, 2, 1)
            for c, k in zip(space.cells, (7, 5, 3), strict=True)
        },
        "head_0": (3, 3, 12, 2),
        "head_1": (3, 3, 2, 1),
    }
    chosen = {"0": (3, 3, 4, 4), "2_wide": (3, 3, 4, 5), "2": (3, 3, 5, 4)}
    assert kernels(nets.SearchedNet(found)) == around | {
        f"{c}_{edge}": shape for c in space.cells for edge, shape in chosen.items()
    }
    mixed = {"first": (4, 3, 3, 1, 7), "second": (4, 3, 3, 6, 5)}  # widths 1 1 1 1 2
    alphas = space.init_alphas(jax.random.key(0))
    assert kernels(space.supernet(), alphas) == around | {
        f"{c}/{name}": shape for c in space.cells for name, shape in mixed.items()
    }


def test_a_name_belongs_to_one_space():
    assert spaces.register(fas.FASSpace) is fas.FASSpace  # a cell that runs again

    @dataclasses.dataclass(frozen=True)
    class Other(fas.FASSpace):
        """A space with a name that is taken."""

    with pytest.raises(InputError, match="a search space 'nas_fas' already, nasfas_"):
        spaces.register(Other)
    with pytest.raises(InputError, match="Loose: expected a frozen dataclass"):
        spaces.register(type("Loose", (), {"name": "loose"}))
    assert spaces.SPACES["nas_fas"] is fas.FASSpace
