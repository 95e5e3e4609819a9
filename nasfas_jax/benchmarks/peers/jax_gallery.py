"""The gallery's problems in JAX without `bilevel`: plain `jax.grad`, jaxopt, optimistix."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from nasfas_jax.benchmarks.gallery import (
    images,
    label_noise,
    learned_optimizer,
    operations,
    penalties,
    sinusoids,
)

MODULES: dict[str, Any] = {
    "sinusoids": sinusoids,
    "images": images,
    "penalties": penalties,
    "label_noise": label_noise,
    "learned_optimizer": learned_optimizer,
    "operations": operations,
}


def by_grad(name: str, steps: int | None = None, *, remat: bool = False) -> Callable:
    """Plain reverse mode through a scan of the steps, as a user writes it."""
    module = MODULES[name]
    inner = getattr(module, "inner_loss", None) or module.loss
    outer = getattr(module, "outer_loss", None) or module.loss

    def objective(params, hyper, inner_batch, outer_batch):
        sgd = optax.sgd(module.RATE, momentum=getattr(module, "MOMENTUM", None))

        def step(carry, _):
            params, state = carry
            grads = jax.grad(inner)(params, hyper, inner_batch)
            updates, state = sgd.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), None

        step = jax.checkpoint(step) if remat else step
        start = params, sgd.init(params)
        (params, _), _ = jax.lax.scan(step, start, length=steps or module.STEPS)
        return outer(params, hyper, outer_batch)

    if name == "learned_optimizer":
        return jax.value_and_grad(_learned(remat), 1)
    if name not in ("sinusoids", "images"):
        return jax.value_and_grad(objective, 1)

    def mean(params, hyper, support, query):
        if name == "sinusoids":
            return jax.vmap(objective, (None, None, 0, 0))(
                params, hyper, support, query
            ).mean()

        def of_task(batches):
            return objective(params, hyper, *batches)

        return jax.lax.map(jax.checkpoint(of_task), (support, query)).mean()

    return jax.value_and_grad(mean)


def _learned(remat: bool) -> Callable:
    loss = learned_optimizer.loss

    def objective(params, rule, batches, last):
        optimizer = learned_optimizer.learned(rule)

        def step(carry, batch):
            params, state = carry
            grads = jax.grad(loss)(params, rule, batch)
            updates, state = optimizer.update(grads, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), loss(params, rule, batch)

        step = jax.checkpoint(step) if remat else step
        start = params, optimizer.init(params)
        (params, _), losses = jax.lax.scan(step, start, batches)
        return loss(params, rule, last) + losses.mean()

    return objective


def by_remat(name: str, steps: int | None = None) -> Callable:
    """The same with `jax.checkpoint` around every step."""
    return by_grad(name, steps, remat=True)


def by_jaxopt(name: str, steps: int | None = None) -> Callable:
    """Unrolled steps of `jaxopt.OptaxSolver`, or its implicit derivative."""
    import jaxopt  # pyright: ignore[reportMissingImports]

    if name == "implicit":
        return _jaxopt_implicit

    def objective(hyper, params, inner_batch, outer_batch):
        solver = jaxopt.OptaxSolver(
            penalties.inner_loss,
            optax.sgd(penalties.RATE, momentum=penalties.MOMENTUM),
            maxiter=steps or penalties.STEPS,
            tol=0.0,
            implicit_diff=False,
            unroll=True,
            jit=True,
        )
        params = solver.run(params, hyper, inner_batch).params
        return penalties.outer_loss(params, hyper, outer_batch)

    return lambda params, hyper, *batches: jax.value_and_grad(objective)(
        hyper, params, *batches
    )


def _jaxopt_implicit(params, hyper, inner_batch, outer_batch):
    from jaxopt import implicit_diff, linear_solve  # pyright: ignore[reportMissingImports]

    def solve(matvec, b):
        return linear_solve.solve_cg(
            matvec, b, maxiter=penalties.ITERATIONS, tol=penalties.TOLERANCE
        )

    value, (v, direct) = jax.value_and_grad(penalties.outer_loss, (0, 1))(
        params, hyper, outer_batch
    )
    indirect, _ = implicit_diff.root_vjp(
        jax.grad(penalties.inner_loss), params, (hyper, inner_batch), v, solve
    )
    return value, jax.tree.map(jnp.add, direct, indirect)


def by_optimistix(name: str, steps: int | None = None) -> Callable:
    """`optimistix.minimise`, started at the optimum, with its implicit adjoint."""
    import lineax  # pyright: ignore[reportMissingImports]
    import optimistix  # pyright: ignore[reportMissingImports]

    assert name == "implicit" and steps is None
    # Conjugate gradients of lineax 0.1.1 return NaN for this Hessian with JAX 0.10.
    adjoint = optimistix.ImplicitAdjoint(
        lineax.BiCGStab(
            rtol=penalties.TOLERANCE, atol=1e-6, max_steps=2 * penalties.ITERATIONS
        )
    )

    def objective(hyper, params, inner_batch, outer_batch):
        found = optimistix.minimise(
            lambda params, both: penalties.inner_loss(params, *both),
            optimistix.GradientDescent(penalties.RATE, rtol=0.1, atol=0.1),
            params,
            (hyper, inner_batch),
            adjoint=adjoint,
            max_steps=2,
            throw=False,
            tags=frozenset([lineax.positive_semidefinite_tag]),
        )
        return penalties.outer_loss(found.value, hyper, outer_batch)

    return lambda params, hyper, *batches: jax.value_and_grad(objective)(
        hyper, params, *batches
    )


STYLES: dict[str, Callable[[str, int | None], Callable]] = {
    "jax.grad": by_grad,
    "jax.checkpoint": by_remat,
    "jaxopt": by_jaxopt,
    "optimistix": by_optimistix,
}
