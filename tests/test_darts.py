"""DARTS: the gradient of the architecture, warm-up, halves, settings and trials."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import smoke

from nasfas_jax import bilevel
from nasfas_jax.commands import search as command
from nasfas_jax.commands import settings
from nasfas_jax.errors import InputError
from nasfas_jax.methods import darts
from nasfas_jax.methods.meta_nas import SearchState
from nasfas_jax.search import trials
from nasfas_jax.workflows import searchers

RATE = 0.1


@dataclasses.dataclass(frozen=True)
class Space:
    """Two mixed operations."""

    def init_alphas(self, key, dtype):
        return {"cell": jax.random.normal(key, (1, 2), dtype)}

    def loss(self, predicted, target):
        return jnp.square(predicted - target).mean()

    def relative_macs(self, alphas):
        return jax.nn.softmax(alphas["cell"])[0, 1]


class Net:
    """Maps of a mixture of a tanh and a linear layer."""

    space = Space()

    def init(self, key, image, alphas, train):
        shape = (2, image.shape[-1])
        params = {"w": jax.random.normal(key, shape, image.dtype)}
        return {"params": params, "batch_stats": {"mean": jnp.zeros((), image.dtype)}}

    def apply(self, variables, x, alphas, train, mutable):
        one, two = variables["params"]["w"]
        p = jax.nn.softmax(alphas["cell"])[0]
        y = p[0] * jnp.tanh(x @ one) + p[1] * (x @ two) ** 2
        return y, {"batch_stats": {"mean": y.mean()}}


def setup(dtype=np.float64, **settings):
    rng = np.random.default_rng(0)

    def batch(*lead):
        image = rng.normal(size=(*lead, 4, 3, 3, 3)).astype(dtype)
        target = rng.normal(size=(*lead, 4, 3, 3)).astype(dtype)
        return {"image": image, "target": target}

    method = darts.DARTS(
        Net(), optax.sgd(RATE), optax.sgd(RATE), optax.sgd(0.5), **settings
    )
    state = method.init(jax.random.key(0), jnp.zeros((1, 3, 3, 3), dtype))
    return method, state, {"support": batch(2), "query": batch()}


def gradient(method, state, episode):
    return jax.jit(method.alpha_gradient)(state, episode)


def composed(method, state, episode):
    """Eq. 11 written out, differentiated as one function."""
    support = {k: v.reshape(-1, *v.shape[2:]) for k, v in episode["support"].items()}

    def loss(params, alphas, batch):
        variables = {"params": params, "batch_stats": state.batch_stats}
        y, _ = Net().apply(variables, batch["image"], alphas, True, ["batch_stats"])
        return jnp.square(y - batch["target"]).mean()

    def objective(alphas):
        grads = jax.grad(loss)(state.params, alphas, support)
        moved = jax.tree.map(lambda p, g: p - RATE * g, state.params, grads)
        return loss(moved, alphas, episode["query"])

    first = jax.grad(lambda a: loss(state.params, a, episode["query"]))(state.alphas)
    return jax.grad(objective)(state.alphas), first


@pytest.mark.parametrize(
    "mode", ["forward_over_reverse", "reverse_over_reverse", "unrolled"]
)
def test_the_exact_gradient_is_the_equation_differentiated(x64, mode):
    method, state, episode = setup(mode=mode)
    _, found = gradient(method, state, episode)
    exact, first = composed(method, state, episode)
    np.testing.assert_allclose(found["cell"], exact["cell"], atol=1e-8)
    assert abs(exact["cell"] - first["cell"]).max() > 1e-4


def test_finite_differences_approach_it_with_the_square_of_epsilon(x64):
    _, state, episode = setup()
    errors = []
    for epsilon in (1e-1, 1e-2, 1e-3):
        method, state, episode = setup(mode=bilevel.finite_difference(epsilon))
        _, found = gradient(method, state, episode)
        exact, _ = composed(method, state, episode)
        errors.append(np.abs(found["cell"] - exact["cell"]).max())
    assert errors[0] > 50 * errors[1] > 2500 * errors[2] and errors[2] < 1e-8


def test_first_order_is_the_partial_derivative(x64):
    method, state, episode = setup(arch_order="first")
    _, found = gradient(method, state, episode)
    _, first = composed(method, state, episode)
    np.testing.assert_allclose(found["cell"], first["cell"], atol=1e-12)


def test_a_step_updates_architecture_then_weights(x64):
    method, state, episode = setup(alphas_from=1, cost_weight=0.3)
    warm, metrics = jax.jit(method.step)(state, episode)
    np.testing.assert_array_equal(warm.alphas["cell"], state.alphas["cell"])
    assert np.isnan(metrics["query_loss"]) and warm.step == 1
    assert abs(warm.params["w"] - state.params["w"]).max() > 0
    new, metrics = jax.jit(method.step)(warm, episode)
    exact, _ = composed(method, warm, episode)
    cost = jax.grad(Space().relative_macs)(warm.alphas)
    expected = warm.alphas["cell"] - 0.5 * (exact["cell"] + 0.3 * cost["cell"])
    np.testing.assert_allclose(new.alphas["cell"], expected, atol=1e-10)
    assert isinstance(new, SearchState) and np.isfinite(metrics["query_loss"])


def test_trials_of_the_paper():
    names = set(trials.TRIALS)
    assert len(names) == 18
    assert {"S-Van-CE", "SD-CD-DP", "S-Van-Max", "SD-CD-CDP-Att", "S-CD-CDP"} <= names
    one = trials.get("SD-CD-DP", channels=8)
    assert (one.space.title, one.space.channels) == ("nas_baseline, CD-DP", 8)
    assert one.view == {"input": "static_dynamic", "target": "binary"}
    ce = trials.get("S-Van-CE")
    assert (ce.space.map_size, ce.view["input"]) == (1, "static")
    assert trials.get("S-CD-Max").view["target"] == "depth"
    for name in names:
        assert trials.get(name).space.title.endswith(name.partition("-")[2])
    with pytest.raises(InputError, match=r"Did you mean .*SD-CD-CDP"):
        trials.get("SD-CD-CPD")


def test_settings_name_their_method():
    chosen = partial(searchers.settings_of, "darts")
    assert chosen(**searchers.AUTO_FAS).optimizer == "momentum"
    with pytest.raises(InputError, match=r"'darts', .*Did you mean arch_order"):
        chosen(arch_ordr="first")
    with pytest.raises(InputError, match="one of 'meta_nas', 'darts', 'random'"):
        searchers.settings_of("dart")
    with pytest.raises(InputError, match="optimizer: expected one of"):
        chosen(optimizer="sdg").make_method(trials.get("S-Van-CE").space)


def test_a_trial_keeps_the_options_of_the_config():
    config = smoke.config("synthetic", "baseline").search
    config.space_options.channels = 16
    assert (
        settings.space(config)
        == trials.get("SD-CD-DP", **{**config.space_options, "channels": 16}).space
    )
    config.trial = "S-Van-CE"
    assert (settings.space(config).head, settings.space(config).channels) == (
        "scalar",
        16,
    )
    assert command.view(config).input == "static"
    config.trial = "SD-CD-CDP-Att"
    with pytest.raises(InputError, match=r"trial of 'nas_fas', got .* 'nas_baseline'"):
        settings.space(config)


def test_fields_of_other_methods_are_named():
    config = smoke.config().search
    config.protocol = "siw_m@without_masks"  # read by `nasfas sweep`
    assert command._unused(config) == ""
    config.method = "darts"
    unused = command._unused(config)
    assert "inner_steps" in unused and "alphas_from" not in unused
