"""Arguments of the panel of modes, and its cases as their docstrings describe them."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_meta_nas import OneEdge, draw_episode, search, small
from test_metagrad import TOY, H, W
from test_rfmeta import draw_episode as draw_feature_episode
from test_rfmeta import tiny

from nasfas_jax import bilevel
from nasfas_jax.benchmarks import cases, instrument
from nasfas_jax.errors import InputError
from nasfas_jax.methods import rfmeta


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"rates": ()}, "rates: expected one or more inner learning rates, got none"),
        ({"rates": 0.1}, r"rates: expected a list .*Write \[0\.1\]"),
        ({"rates": (0.1, -1.0)}, r"rates\[1\]: .*got -1.0"),
        ({"batch_size": 0}, "batch_size: .*got 0"),
        ({"steps": 0}, "steps: .*got 0"),
        ({"repeats": 0}, "repeats: .*got 0"),
    ],
)
def test_numbers_out_of_range_are_named(option, told):
    with pytest.raises(InputError, match=told):
        instrument.measure(TOY, **option)


def test_unknown_modes_are_named():
    with pytest.raises(
        ValueError, match="no mode fast, slow; choose among first_order"
    ):
        instrument.check_modes(("slow", "unrolled", "fast"), "unrolled")
    for exact in bilevel.EXACT:
        instrument.check_modes(("first_order", exact), exact)


def test_a_reference_and_modes_are_explained():
    with pytest.raises(ValueError, match="Add it to `modes`, or choose another"):
        instrument.check_modes(("first_order", "unrolled"))
    with pytest.raises(ValueError, match=r"list of names; write \['unrolled'\]"):
        instrument.check_modes("unrolled", "unrolled")
    with pytest.raises(ValueError, match=r"no mode Mode\(name='unrolled'"):
        instrument.check_modes((bilevel.unrolled(), "unrolled"), "unrolled")


@pytest.mark.parametrize(
    ("arguments", "result", "told"),
    [
        ((W, H), (), r"must be a function from a batch size .*got tuple"),
        (
            lambda size: {"w": W},
            (),
            r"`arguments` .*must return a tuple.*returned dict",
        ),
        (lambda size: W, (), r"`\(params,\)` for one"),
        (lambda size: (W,), {"w": W}, r"the case 'mine' .*the pair .*the type dict"),
        (lambda size: (W,), (W, H), r"`\{'weights': result.params\}, .*first part"),
    ],
)
def test_cases_of_another_form_are_explained(arguments, result, told):
    case = instrument.Case("mine", lambda mode, steps: lambda *_: result, arguments)
    with pytest.raises(TypeError, match=told):
        instrument.measure(case, symmetry=False)


def test_norm_ratio_is_infinite_in_effect_where_the_exact_derivative_vanishes():
    cosine, ratio = instrument.compare([np.ones(4)], [np.zeros(4)])
    assert cosine == 0 and ratio > 1e300


def test_a_step_without_inner_gradients_has_no_asymmetry():
    def make(mode, steps):
        return lambda rate, w, h: ({"w": w * rate}, h)

    case = instrument.Case("plain", make, lambda batch_size: (W, H))
    assert instrument.asymmetry(case, 0.1, 1, W, H) == 0


@pytest.mark.parametrize("factors", [(1.0, np.nan), (np.nan, 1.0)])
def test_one_gradient_that_is_not_finite_counts_as_the_largest_asymmetry(factors):
    """Of two inner updates, at finite parameters and at others, in either order."""

    def loss(w, h, _):
        return jnp.sum(h * w**3)

    def make(mode, steps):
        def step(rate, w, h):
            found = [
                bilevel.hypergradient(
                    *(loss, jax.grad(loss, (0, 1)), w * factor, h),
                    inner_batch=None,
                    outer_batch=None,
                    optimizer=optax.sgd(rate),
                    mode=mode,
                )
                for factor in factors
            ]
            return {"w": found[0].params}, found[1]

        return step

    case = instrument.Case("two", make, lambda batch_size: (W, H))
    assert np.isnan(instrument.asymmetry(case, 0.1, 1, W, H))


def test_noise_has_the_shape_and_ranges_of_an_episode():
    options = {"image_size": 8, "map_size": 4}
    episode = cases.noise_episode(5, **options)
    for name, lead in (("support", (2, 5)), ("query", (5,))):
        part = episode[name]
        assert part["image"].shape == (*lead, 8, 8, 3)
        assert part["target"].shape == (*lead, 4, 4)
        assert part["image"].dtype == part["target"].dtype == np.float32
        assert -1 <= part["image"].min() < -0.9 and 0.9 < part["image"].max() <= 1
        labels = np.broadcast_to([0, 1, 0, 1, 0], lead)
        np.testing.assert_array_equal(part["label"], labels)
        assert part["label"].dtype == np.int32
        assert (part["target"][labels == 0] == 0).all()
        live = part["target"][labels == 1]
        assert live.min() > 0 and 0.9 < live.max() < 1
    again = cases.noise_episode(5, **options, seed=0)
    jax.tree.map(np.testing.assert_array_equal, episode, again)
    other = cases.noise_episode(5, **options, channels=6, seed=1)
    assert other["query"]["image"].shape[-1] == 6
    assert (other["query"]["target"][1] != episode["query"]["target"][1]).any()


def program(case, mode="reverse_over_reverse", steps=1):
    """The traced step, without addresses of Python objects."""
    arguments = jax.eval_shape(lambda: case.arguments(4))
    text = str(jax.make_jaxpr(case.make(mode, steps))(jnp.float32(0.1), *arguments))
    return re.sub("0x[0-9a-f]+", "", text)


def test_the_search_step_is_measured_exact_in_both_orders_and_without_cost():
    """Whatever the method's own orders, mode, start of the alphas, cost and rates."""

    def episode(batch_size):
        return jax.tree.map(lambda x: x.astype(np.float32), draw_episode(6, 4))

    net = OneEdge(small())
    plain = cases.of_meta_nas(search(net), episode)
    other = search(
        net,
        inner_optimizer=optax.sgd(7.0),
        weight_order="first",
        arch_order="first",
        mode="first_order",
        inner_steps=3,
        alphas_from=9,
        cost_weight=2.0,
    )
    assert program(cases.of_meta_nas(other, episode)) == program(plain)
    assert program(plain, "forward_over_reverse") != program(plain)
    assert program(plain, steps=2) != program(plain)


def test_rfmeta_is_measured_exact_at_the_measured_rate():
    def episode(batch_size):
        drawn = draw_feature_episode()
        drawn.pop("query_domain")
        return jax.tree.map(
            lambda x: x.astype(np.float32 if x.dtype == float else np.int32), drawn
        )

    method = rfmeta.RFMeta(tiny(), optax.sgd(1.0))
    plain = cases.of_rfmeta(method, episode)
    other = dataclasses.replace(
        method,
        order="first",
        mode="first_order",
        inner_steps=3,
        inner_learning_rate=7.0,
    )
    assert program(cases.of_rfmeta(other, episode)) == program(plain)
    assert program(plain, "first_order") != program(plain)
    assert program(plain, steps=2) != program(plain)
    states = [cases.of_rfmeta(method, episode, seed).arguments(4)[0] for seed in (0, 1)]
    kernels = [s.params["M"]["Dense_0"]["kernel"] for s in states]
    assert (kernels[0] != kernels[1]).any()
