"""Errors name what was expected, what was found, and the likely fix."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nasfas_jax import bilevel

W = {"w": jnp.ones(3)}
SGD = optax.sgd(0.1)


def loss(phi, h, batch):
    return jnp.sum((phi["w"] * h) ** 2)


def call(outer=loss, inner=loss, gradient=None, w=W, h=1.0, optimizer=SGD, **options):
    gradient = gradient or jax.grad(inner, (0, 1))
    return bilevel.hypergradient(
        outer,
        gradient,
        w,
        h,
        inner_batch=None,
        outer_batch=None,
        optimizer=optimizer,
        **options,
    )


def vector(phi, h, batch):
    return phi["w"] * h


@pytest.mark.parametrize("mode", ["forward_over_reverse", "unrolled"])
def test_losses_must_be_scalars(mode):
    with pytest.raises(TypeError, match=r"outer loss.*float32\[3\].*\.mean\(\)"):
        call(outer=vector, mode=mode)
    expected = r"inner loss must return one float.*\.mean\(\).*shape: \(3,\)"
    with pytest.raises(TypeError, match=expected):
        call(inner=vector, mode=mode)
    with pytest.raises(TypeError, match=r"inner loss must return one float.*int32"):
        call(inner=lambda phi, h, batch: jnp.sum(phi["w"] > h), mode=mode)
    for other in (
        lambda *a: {"loss": loss(*a)},
        lambda *a: [loss(*a)],
        lambda *a: None,
    ):
        with pytest.raises(TypeError, match=r"a Python .* return the loss itself"):
            call(outer=other, mode=mode)
        with pytest.raises(TypeError, match=r"inner loss must.*Output was"):
            call(inner=other, mode=mode)
    with pytest.raises(TypeError, match=r"tuple of 2.*`state`"):
        call(outer=lambda *a: (loss(*a), {}), mode=mode)


def with_state(phi, h, batch, state):
    return loss(phi, h, batch), state


def test_losses_with_state_return_pairs():
    """As they were given it: also where the state is carried from pass to pass."""
    gradient = jax.grad(with_state, (0, 1), has_aux=True)
    options = {"state": {"mean": jnp.ones(2)}, "policy": "carry"}
    value = call(outer=with_state, gradient=gradient, **options).value
    np.testing.assert_allclose(value, call().value)
    with pytest.raises(TypeError, match=r"the pair.* outer loss returned float32\[\]"):
        call(outer=lambda *a: loss(*a[:3]), gradient=gradient, **options)

    def without(phi, h, batch, state):
        return loss(phi, h, batch)

    with pytest.raises(TypeError, match=r"must return the pair.*two-element tuple"):
        call(
            outer=with_state,
            gradient=jax.grad(without, (0, 1), has_aux=True),
            **options,
        )

    def smaller(phi, h, batch, state):
        return loss(phi, h, batch), {"mean": state["mean"].sum()}

    with pytest.raises(TypeError, match=r"\['mean'\] was .*from the inner loss"):
        call(
            outer=with_state,
            gradient=jax.grad(smaller, (0, 1), has_aux=True),
            **options,
        )


def test_a_gradient_function_returns_a_pair():
    for gradient in (loss, jax.grad(loss)):
        with pytest.raises(TypeError, match=r"jax.grad\(loss, \(0, 1\)\)"):
            call(gradient=gradient)
        with pytest.raises(TypeError, match=r"jax.grad\(loss, \(0, 1\)\)"):
            bilevel.implicit_hypergradient(
                loss, gradient, W, 1.0, inner_batch=None, outer_batch=None
            )


def test_integers_have_no_derivative():
    with pytest.raises(TypeError, match=r"params\['w'\] is int32\[3\].*astype"):
        call(w={"w": jnp.arange(3)})
    with pytest.raises(TypeError, match=r"hyper is a Python int"):
        call(h=2)
    with pytest.raises(TypeError, match=r"params\['w'\] is int32\[3\]"):
        bilevel.inner_update(
            jax.grad(loss, (0, 1)), {"w": jnp.arange(3)}, 1.0, batch=None, optimizer=SGD
        )
    with pytest.raises(TypeError, match=r"params\['w'\] is a Python str"):
        call(w={"w": "a name"})


def test_numbers_of_steps_may_be_numpys():
    two = np.int64(2)
    found = call(steps=two, last=two, segments=two)
    np.testing.assert_array_equal(found.hyper, call(steps=2).hyper)
    for name in ("steps", "last", "segments"):
        with pytest.raises(TypeError, match=f"`{name}` must be a whole number"):
            call(**{"steps": 2, name: np.float64(2)})
        with pytest.raises(TypeError, match=f"`{name}` must be a whole number"):
            call(**{"steps": 2, name: True})


def test_lists_of_choices_are_lists():
    def cost(**options):
        return bilevel.cost(
            *(loss, jax.grad(loss, (0, 1)), W, 1.0),
            inner_batch=None,
            outer_batch=None,
            optimizer=SGD,
            **options,
        )

    with pytest.raises(TypeError, match=r"`modes` must be a list .*\['first_order'\]"):
        cost(modes="first_order")
    for one in ("sqrt", 4, None):
        with pytest.raises(TypeError, match=r"`segments` must be a list"):
            cost(segments=one)
    for wrong in (None, "symmetry", ("symmetrical",)):
        with pytest.raises(ValueError, match=r"`checks` must be a tuple of names"):
            call(checks=wrong)


def test_a_solver_is_a_function_of_two():
    def solved(solver):
        bilevel.implicit_hypergradient(
            *(loss, jax.grad(loss, (0, 1)), W, 1.0),
            inner_batch=None,
            outer_batch=None,
            solver=solver,
        )

    with pytest.raises(TypeError, match=r"`solver` must be made by .*got 'cg'"):
        solved("cg")
    with pytest.raises(TypeError, match=r"Write `bilevel.conjugate_gradient\(...\)`"):
        solved(bilevel.conjugate_gradient)


def transformation(update):
    return optax.GradientTransformation(lambda params: jnp.zeros(3), update)


def test_updates_keep_what_they_are_given():
    """Tree, shape and dtype, of the parameters and of the optimizer's state."""
    wide = optax.stateless(
        lambda g, _: jax.tree.map(lambda x: jnp.zeros((2, 1)) * x[None], g)
    )
    with jax.numpy_rank_promotion("allow"):
        expected = r"params.*\['w'\] was float32\[3\] and became float32\[2,3\]"
        with pytest.raises(TypeError, match=expected):
            call(optimizer=wide)
    half = transformation(lambda g, state, params: (g, state.astype(jnp.bfloat16)))
    with pytest.raises(TypeError, match=r"state, leaf itself .* bfloat16\[3\]"):
        call(optimizer=half)
    tree = transformation(lambda g, state, params: (g, (state, state)))
    with pytest.raises(TypeError, match=r"must keep the tree of the optimizer's state"):
        call(optimizer=tree)
    renamed = optax.stateless(lambda g, _: {"v": g["w"]})
    expected = r"tree of the params.*\{'w': \*\}.*became.*\{'v': \*\}"
    for mode in bilevel.MODES:
        with pytest.raises(TypeError, match=expected):
            call(optimizer=renamed, mode=mode)
    with pytest.raises(TypeError, match=expected):
        bilevel.inner_update(
            jax.grad(loss, (0, 1)), W, 1.0, batch=None, optimizer=renamed
        )


@pytest.mark.parametrize("optimizer", [0.1, lambda h: h])
def test_an_optimizer_is_a_transformation(optimizer):
    with pytest.raises(TypeError, match=r"optax\.sgd\(0\.1\).*got a Python float"):
        call(optimizer=optimizer)


NEED_MORE = {
    "lbfgs": optax.lbfgs(),
    "line search": optax.scale_by_backtracking_linesearch(5),
    "polyak_sgd": optax.polyak_sgd(),
    "reduce_on_plateau": optax.contrib.reduce_on_plateau(),
    "in a chain": optax.chain(SGD, optax.contrib.reduce_on_plateau()),
    "momo": optax.contrib.momo(),
    "sophia": optax.contrib.sophia(0.1),
    "lookahead": optax.lookahead(SGD, 3, 0.5),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", NEED_MORE)
def test_optimizers_that_need_more_than_gradients_are_refused(name):
    """Each with one explanation, whoever makes the steps."""
    expected = r"cannot make inner steps.*optax\.lbfgs.*lookahead.*The error was"
    for mode in ("forward_over_reverse", "unrolled"):
        with pytest.raises(TypeError, match=expected):
            call(optimizer=NEED_MORE[name], mode=mode, steps=3)
    with pytest.raises(TypeError, match=expected):
        bilevel.inner_update(
            jax.grad(loss, (0, 1)), W, 1.0, batch=None, optimizer=NEED_MORE[name]
        )


@pytest.mark.parametrize("maker", [optax.sgd, optax.adam, optax.contrib.muon])
@pytest.mark.parametrize("h", [0.1, {"rate": 0.1}])
def test_a_function_of_optax_must_be_called(maker, h):
    """With a scalar hyper it would take that for its rate, without a message."""
    expected = rf"is the function optax\.{maker.__name__}, .*not called"
    gradient = jax.grad(lambda phi, h, batch: jnp.sum(phi["w"] ** 2), (0, 1))
    for mode in bilevel.MODES:
        with pytest.raises(TypeError, match=expected):
            call(gradient=gradient, h=h, optimizer=maker, mode=mode)
    with pytest.raises(TypeError, match=expected):
        bilevel.inner_update(gradient, W, h, batch=None, optimizer=maker)
    made = call(h=0.1, optimizer=lambda h: optax.sgd(h))
    assert np.isfinite(made.hyper)


def test_the_number_of_steps():
    with pytest.raises(TypeError, match=r"whole number.* got a Python float"):
        call(steps=1.5)
    with pytest.raises(ValueError, match="0 or more, got -1"):
        call(steps=-1)
    with pytest.raises(ValueError, match=r"there is one step for each slice.*None"):
        call(steps=None)
    ragged = {"x": jnp.ones((3, 2)), "y": jnp.ones(2)}
    with pytest.raises(ValueError, match=r"'x': \(3, 2\), 'y': \(2,\).*jnp\.stack"):
        bilevel.inner_update(
            jax.grad(loss, (0, 1)), W, 1.0, batch=ragged, optimizer=SGD, steps=None
        )


@pytest.mark.parametrize("mode", bilevel.MODES)
def test_nothing_moves_without_steps_or_under_an_empty_mask(mode):
    value, (by_w, by_h) = jax.value_and_grad(loss, (0, 1))(W, 0.5, None)
    for options in ({"steps": 0}, {"mask": False, "steps": 2}):
        result = call(h=0.5, mode=mode, **options)
        np.testing.assert_allclose(result.value, value)
        np.testing.assert_allclose(result.params["w"], by_w["w"])
        np.testing.assert_allclose(result.hyper, by_h)


@jax.custom_vjp
def double(x):
    return 2 * x


@jax.custom_vjp
def square(x):
    return x**2


double.defvjp(lambda x: (2 * x, None), lambda _, g: (2 * g,))
# One custom_vjp is away once its gradient is taken. One in its rule is there to meet.
square.defvjp(lambda x: (x**2, x), lambda x, g: (double(x) * g,))


def test_a_rule_without_a_forward_derivative():
    """Also where the caller states that the rules are true derivatives."""

    def inner(phi, h, batch):
        return jnp.sum(square(phi["w"] * h))

    mode = bilevel.forward_over_reverse(assume_symmetric=True)
    message = r"no forward-mode derivative.*mode='reverse_over_reverse'"
    with pytest.raises(TypeError, match=message):
        call(inner=inner, mode=mode)
    gradient = jax.grad(inner, (0, 1))
    with pytest.raises(TypeError, match=message):
        bilevel.implicit_hypergradient(
            loss, gradient, W, 1.0, inner_batch=None, outer_batch=None, mode=mode
        )
    with pytest.raises(TypeError, match=message):
        bilevel.check_symmetry(gradient, W, 1.0, None)
    expected = call()
    for mode in ("reverse_over_reverse", "unrolled"):
        np.testing.assert_allclose(
            call(inner=inner, mode=mode).hyper, expected.hyper, rtol=1e-6
        )


def test_a_users_own_type_error_is_left_alone():
    def wrong(phi, h, batch):
        raise TypeError("mine")

    with pytest.raises(TypeError, match=r"^mine"):
        call(inner=wrong)


def test_names_and_masks():
    with pytest.raises(ValueError, match=r"'second_order'.*'forward_over_reverse'"):
        call(mode="second_order")
    with pytest.raises(ValueError, match=r"'implicit'.*implicit_hypergradient"):
        call(mode="implicit")
    with pytest.raises(ValueError, match=r"'running'.*'batch', 'carry', 'inner'"):
        call(policy="running")
    with pytest.raises(ValueError, match="begins like params"):
        call(mask={"v": True})
    with pytest.raises(ValueError, match="Python bools"):
        call(mask={"w": jnp.ones(3, bool)})
    with pytest.raises(ValueError, match="'first_order'"):
        bilevel.implicit_hypergradient(
            loss,
            jax.grad(loss, (0, 1)),
            W,
            1.0,
            inner_batch=None,
            outer_batch=None,
            mode="first_order",
        )


@pytest.mark.parametrize("name", bilevel.MODES)
def test_a_name_is_shorthand_for_a_mode(name):
    made = getattr(bilevel, name)
    mode = made()
    assert isinstance(mode, bilevel.Mode) and mode == bilevel.MODES[name]
    assert hash(mode) == hash(made())
    by_name, by_mode = call(mode=name), call(mode=mode)
    assert by_name.hyper == by_mode.hyper and by_name.value == by_mode.value
    with pytest.raises(TypeError, match=rf"not called. Write `bilevel\.{name}\(\)`"):
        call(mode=made)
    for options in (bilevel.forward_over_reverse, bilevel.finite_difference):
        assert options(assume_symmetric=True) != mode
    assert bilevel.finite_difference(0.1) != mode


def test_results_have_the_same_fields_with_and_without_state():
    gradient = jax.grad(with_state, (0, 1), has_aux=True)
    plain, stateful = (
        call(),
        call(outer=with_state, gradient=gradient, state={"n": 1.0}),
    )
    assert type(plain) is type(stateful) is bilevel.Hypergradient
    assert plain.state is None and stateful.state == {"n": 1.0}
    assert plain.grads == (plain.params, plain.hyper)
    options = {"batch": None, "optimizer": SGD}
    moved = bilevel.inner_update(jax.grad(loss, (0, 1)), W, 1.0, **options)
    kept = bilevel.inner_update(gradient, W, 1.0, **options, state={"n": 1.0})
    assert moved.state is None and kept.state == {"n": 1.0}
    np.testing.assert_array_equal(moved.params["w"], kept.params["w"])


@pytest.mark.parametrize("function", ["hypergradient", "implicit_hypergradient"])
def test_batches_and_the_optimizer_are_keywords(function):
    with pytest.raises(TypeError, match="positional arguments"):
        getattr(bilevel, function)(
            loss, jax.grad(loss, (0, 1)), W, 1.0, None, None, SGD
        )


@pytest.mark.parametrize("mode", bilevel.MODES)
def test_what_is_not_finite_shows_in_the_value(mode):
    """Even where the outer loss does not look at it."""

    def inner(phi, h, batch):
        return jnp.log(phi["bad"]) + (phi["good"] * h) ** 2

    options = {"outer": lambda phi, h, batch: phi["good"], "mode": mode}
    w = {"bad": jnp.asarray(1.0), "good": jnp.asarray(1.0)}
    fine = call(inner=inner, w=w, **options)
    assert bilevel.check_finite(fine) is fine
    broken = call(inner=inner, w={**w, "bad": jnp.asarray(0.0)}, **options)
    assert np.isnan(broken.value)
    with pytest.raises(ValueError, match="lower inner learning rate"):
        bilevel.check_finite(broken)


def test_adam_without_eps_root_is_told_of_it():
    w = {"w": jnp.asarray([1.0, 0.0, 1.0])}  # no inner gradient in the middle
    for mode in bilevel.EXACT:
        result = call(w=w, optimizer=optax.adam(0.1), mode=mode)
        assert np.isfinite(result.value)
        with pytest.raises(ValueError, match="eps_root > 0"):
            bilevel.check_finite(result)
        fixed = call(w=w, optimizer=optax.adam(0.1, eps_root=1e-6), mode=mode)
        bilevel.check_finite(fixed)


@pytest.mark.parametrize("mode", ["forward_over_reverse", "unrolled"])
def test_gradients_have_the_shapes_of_what_they_are_taken_by(mode):
    """In 'unrolled' a scalar in place of the gradient would broadcast in silence."""

    def product(phi, h, batch):
        return jnp.sum(phi * h)

    for gradient in (
        jax.grad(product, (1, 0)),
        jax.value_and_grad(product, (0, 1)),
        jax.grad(lambda *a: (product(*a), {}), (0, 1), has_aux=True),
    ):
        with pytest.raises(
            TypeError, match=r"Expected \('float32\[3\]', .* got .*has_aux"
        ):
            call(product, gradient=gradient, w=W["w"], h=jnp.ones(()), mode=mode)


def test_a_model_is_divided_into_its_arrays_and_the_rest():
    with pytest.raises(
        TypeError, match=r"a Python function.*eqx\.partition.*nnx\.split"
    ):
        call(w={"w": W["w"], "activation": lambda x: x})


def test_directions_steps_and_modes_of_another_type():
    v, gradient = {"w": jnp.ones(2)}, jax.grad(loss, (0, 1))
    for name in bilevel.EXACT:
        with pytest.raises(TypeError, match=r"`v` .*float32\[3\].*got .*float32\[2\]"):
            bilevel.second_derivative_product(gradient, W, 1.0, None, v, mode=name)
    with pytest.raises(ValueError, match=r"positive number.*got 'auto'"):
        bilevel.finite_difference("auto")
    with pytest.raises(ValueError, match=r"Unknown mode .*\['unrolled'\]; choose"):
        call(mode=["unrolled"])


def test_numbers_of_iterations_are_whole_and_positive():
    for make in (bilevel.conjugate_gradient, lambda n: bilevel.neumann(0.1, n)):
        with pytest.raises(ValueError, match="`iterations` must be 1 or more; got 0"):
            make(0)
        with pytest.raises(TypeError, match=r"`iterations` must be a whole .*got 1\.5"):
            make(1.5)


def test_sums_over_slices_name_their_parts():
    x = jnp.ones((4, 2))
    with pytest.raises(TypeError, match=r"the pair .*it returned float32\[\]"):
        bilevel.scan_sum(jnp.sum, x)
    for other in (jnp.ones(3), jnp.ones(())):
        with pytest.raises(ValueError, match=r"first axis of one length.*\(4, 2\)"):
            bilevel.scan_sum(lambda pair: (pair[0], ()), (x, other))


def test_costs_are_of_losses_that_run():
    with pytest.raises(TypeError, match=r"outer loss must return one float"):
        bilevel.cost(
            *(vector, jax.grad(loss, (0, 1)), W, 1.0),
            inner_batch=None,
            outer_batch=None,
            optimizer=SGD,
        )


def test_a_singular_hessian_is_told_of():
    def implicit(outer, inner):
        return bilevel.implicit_hypergradient(
            *(outer, jax.grad(inner, (0, 1)), W, 1.0),
            inner_batch=None,
            outer_batch=None,
        )

    def linear(phi, h, batch):
        return h * phi["w"].sum()

    with pytest.raises(ValueError, match=r"singular .*damping"):
        bilevel.check_finite(implicit(loss, linear))
    # Nothing to solve for: the outer loss does not depend on the parameters.
    result = bilevel.check_finite(implicit(lambda phi, h, batch: h**2, loss))
    assert result.residual == 0 and result.iterations == 0 and result.hyper == 2
