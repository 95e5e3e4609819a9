"""Derivatives through inner updates, for any loss over pytrees.

The objective is ``F(phi, h) = sum_i L_out(phi_i(phi, h), h)``, where ``phi_i`` is ``phi``
after ``k`` steps of an optimizer on an inner loss; DARTS, MAML, RFMeta and Meta-NAS are
instances. `hypergradient` returns ``dF/dphi`` and ``dF/dh``. Its modes differ in how the
second derivative of the inner loss is multiplied with a vector:

    mode                  second derivative          memory               exact
    forward_over_reverse  one jvp of the gradient    one gradient + k s   if symmetric
    reverse_over_reverse  one vjp of the gradient    its graph + k s      yes
    unrolled              jax.grad of all steps      k graphs             yes
    finite_difference     two more gradients         one gradient + k s   no
    first_order           none                       one gradient         no

"One gradient" is the memory of its activations, and ``s`` is the size of the state before
one step: the parameters for SGD, three times as much for Adam (parameters and two
moments). ``segments='sqrt'`` stores ``2 sqrt(k)`` states instead of ``k`` and runs each
step twice; `cost` predicts memory and arithmetic of every mode from shapes. All modes but
the last two have exact third derivatives as well, so levels nest.

'forward_over_reverse', the default, and 'finite_difference' assume that second
derivatives are symmetric, as those of a function are. A hand-written derivative in the
loss can violate that (gradient reversal): a `jax.custom_vjp` function in the loss is an
error unless the caller declares it a true derivative (`forward_over_reverse`), and
`check_symmetry` tests any gradient function. `implicit_hypergradient` is the derivative
of the inner *optimum* instead of the steps.

Examples, with ``grad = jax.grad(loss, (0, 1))``:

    DARTS    hypergradient(loss, grad, weights, alphas, inner_batch=train, outer_batch=valid,
             optimizer=optax.sgd(rate)).hyper
    MAML     hypergradient(loss, grad, params, (), inner_batch=support, outer_batch=query,
             optimizer=sgd, steps=5).params
    MLDG     the same with one step, plus jax.value_and_grad(loss) on the support domains
    RFMeta   hypergradient(loss, grad, {'F': f, 'M': m}, ..., mask={'F': False, 'M': True}):
             only M is updated, and the derivative with respect to F passes through the
             query features and through the inner gradient
    learned rates   optimizer=lambda h: optax.sgd(h['rate'])

An example: five steps fit a slope, with a penalty, to training points of slope 3; the
penalty is learned from validation points of slope 2.

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
...         error, jax.grad(penalized, (0, 1)), start, penalty,
...         inner_batch=(x, 3 * x), outer_batch=(x, 2 * x), optimizer=optax.sgd(0.1),
...         steps=5, mode='forward_over_reverse',
...     )
...     return result.value, penalty - 0.2 * result.hyper
>>> for _ in range(50):
...     value, penalty = learn(penalty)
>>> print(f"error {value:.3f} at penalty {penalty:.2f}")
error 0.000 at penalty 1.25

Call these functions under `jax.jit`, as above: otherwise their loops are compiled at
every call (about half a second for a small loss), and JAX keeps each program (some
megabytes).

Several devices: under `jax.jit`, batches may be sharded over a mesh with automatic or
explicit axes. Inside `jax.shard_map` with its default check, gradients with respect to
arrays that the devices share are *summed over the devices* without a message. This
includes inner gradients: each inner step would follow the sum of all devices' losses. If
each device has its own episode, cast the shared arrays to device-varying ones first, and
average the result:

    def episode(params, hyper, batches):  # with the mesh axis 'episode'
        params, hyper = jax.lax.pcast((params, hyper), 'episode', to='varying')
        result = bilevel.hypergradient(
            loss, grad, params, hyper, **batches, optimizer=optimizer
        )
        return jax.lax.pmean(result, 'episode')

or pass ``check_vma=False`` to `jax.shard_map`. For one inner problem over all devices keep
the default check and apply ``jax.lax.pmean(..., 'data')`` at the end of both losses: all
derivatives are then those of the mean (with ``check_vma=False`` they are not).
"""

from nasfas_jax.bilevel._cost import Cost, CostTable, cost
from nasfas_jax.bilevel._hypergradient import (
    Hypergradient,
    hypergradient,
    loss_after_update,
)
from nasfas_jax.bilevel._implicit import (
    ImplicitHypergradient,
    ReportingSolver,
    Solution,
    conjugate_gradient,
    implicit_hypergradient,
    neumann,
)
from nasfas_jax.bilevel._inner import InnerUpdate, inner_update
from nasfas_jax.bilevel._modes import (
    EXACT,
    MODES,
    AnyMode,
    Mode,
    finite_difference,
    first_order,
    forward_over_reverse,
    reverse_over_reverse,
    second_derivative_product,
    unrolled,
)
from nasfas_jax.bilevel._steps import POLICIES
from nasfas_jax.bilevel._stored import scan_sum, sum_of_losses, with_derivative
from nasfas_jax.bilevel._symmetry import check_symmetry, symmetry_error
from nasfas_jax.bilevel._update import (
    UpdateCotangents,
    apply_update,
    pull_back_update,
)
from nasfas_jax.bilevel._values import CHECKS, check_finite

__all__ = [
    "CHECKS",
    "EXACT",
    "MODES",
    "POLICIES",
    "AnyMode",
    "Cost",
    "CostTable",
    "Hypergradient",
    "ImplicitHypergradient",
    "InnerUpdate",
    "Mode",
    "ReportingSolver",
    "Solution",
    "UpdateCotangents",
    "apply_update",
    "check_finite",
    "check_symmetry",
    "conjugate_gradient",
    "cost",
    "finite_difference",
    "first_order",
    "forward_over_reverse",
    "hypergradient",
    "implicit_hypergradient",
    "inner_update",
    "loss_after_update",
    "neumann",
    "pull_back_update",
    "reverse_over_reverse",
    "scan_sum",
    "second_derivative_product",
    "sum_of_losses",
    "symmetry_error",
    "unrolled",
    "with_derivative",
]
