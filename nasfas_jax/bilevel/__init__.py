"""Derivatives through inner updates, for any loss over pytrees.

The objective is ``F(phi, h) = sum_i L_out(phi_i(phi, h), h)`` where ``phi_i`` is what ``k``
steps of an optimizer on an inner loss make of ``phi``: DARTS, MAML, RFMeta and Meta-NAS
are instances. `hypergradient` gives ``dF/dphi`` and ``dF/dh``; its modes differ in one
line only, how the second derivative of the inner loss meets a vector:

    mode                  second derivative          memory        exact  third derivative
    forward_over_reverse  one jvp of the gradient    one gradient  yes    yes
    reverse_over_reverse  one vjp of the gradient    its graph     yes    yes
    unrolled              jax.grad of all steps      k graphs      yes    yes
    finite_difference     two more gradients         one gradient  no     no
    first_order           none                       one gradient  no     no

The first and the fourth rest on the symmetry of second derivatives. Where a hand-written
derivative under the loss is another function's (gradient reversal), take the reverse modes.
`implicit_hypergradient` is the derivative of the inner *optimum* instead of the steps.

How methods read, with ``grad = jax.grad(loss, (0, 1))``:

    DARTS    hypergradient(loss, grad, weights, alphas, train, valid, optax.sgd(rate)).hyper
    MAML     hypergradient(loss, grad, params, (), support, query, sgd, steps=5).params
    MLDG     the same with one step, plus jax.value_and_grad(loss) on the support domains
    RFMeta   hypergradient(..., {'F': f, 'M': m}, ..., mask={'F': False, 'M': True}): M moves,
             and F gets its derivative through the query features and the inner gradient
    learned rates   optimizer=lambda h: optax.sgd(h['rate'])

A toy: five steps fit a slope to training points under a penalty, and the penalty learns
from validation points, whose slope is 2, how much of the training's 3 to believe.

>>> import jax, optax
>>> from nasfas_jax import bilevel
>>> def error(w, penalty, batch):
...     x, y = batch
...     return ((w * x - y) ** 2).mean()
>>> def penalized(w, penalty, batch):
...     return error(w, penalty, batch) + penalty * w**2
>>> x = jax.numpy.array([1.0, 2.0])
>>> start, penalty = jax.numpy.array(0.0), jax.numpy.array(0.0)
>>> @jax.jit
... def learn(penalty):
...     result = bilevel.hypergradient(
...         error, jax.grad(penalized, (0, 1)), start, penalty, (x, 3 * x), (x, 2 * x),
...         optax.sgd(0.1), steps=5, mode='forward_over_reverse',
...     )
...     return result.value, penalty - 0.2 * result.hyper
>>> for _ in range(50):
...     value, penalty = learn(penalty)
>>> print(f"error {value:.3f} at penalty {penalty:.2f}")
error 0.000 at penalty 1.25
"""

from nasfas_jax.bilevel._checks import check_finite
from nasfas_jax.bilevel._hypergradient import (
    Hypergradient,
    hypergradient,
    pull_back_update,
)
from nasfas_jax.bilevel._implicit import (
    ImplicitHypergradient,
    conjugate_gradient,
    implicit_hypergradient,
    neumann,
)
from nasfas_jax.bilevel._modes import (
    EXACT,
    MODES,
    finite_difference,
    second_derivative_product,
)
from nasfas_jax.bilevel._update import POLICIES, apply_update, inner_update

__all__ = [
    "EXACT",
    "MODES",
    "POLICIES",
    "Hypergradient",
    "ImplicitHypergradient",
    "apply_update",
    "check_finite",
    "conjugate_gradient",
    "finite_difference",
    "hypergradient",
    "implicit_hypergradient",
    "inner_update",
    "neumann",
    "pull_back_update",
    "second_derivative_product",
]
