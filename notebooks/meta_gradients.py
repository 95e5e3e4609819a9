# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Meta-gradients
#
# MAML, DARTS, RFMeta and Meta-NAS minimize a loss *after* inner updates of another loss:
#
# $$F(\phi, h) = L_{out}(\phi_k(\phi, h), h), \qquad
#   \phi_{j+1} = \phi_j - \gamma \, \nabla_\phi L_{in}(\phi_j, h).$$
#
# Its exact derivative holds second derivatives of the inner loss. This notebook shows
# what is lost without them, and that they cost less than one thinks. It runs in a minute
# or two on a CPU. `nasfas metagrad` does the same for whole methods.

# %%
import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nasfas_jax import bilevel
from nasfas_jax.benchmarks import instrument
from nasfas_jax.report.meta_figures import Curves, mode_curves

#: Tests run the notebook in small.
SMALL = os.environ.get("NASFAS_NOTEBOOK") == "small"
KEY = jax.random.key(0)

# %% [markdown]
# ## A toy with a closed form
#
# Inner loss $\frac12 (w - h)^\top A (w - h)$ with curvatures $A = diag(a)$, outer loss
# $\frac12 |w|^2$, $k$ steps of gradient descent. With $P = (I - \gamma A)^k$ the steps end
# at $w_k = h + P (w - h)$, and
#
# $$\frac{dF}{dw} = P \, w_k, \qquad \frac{dF}{dh} = (I - P) \, w_k.$$
#
# First order takes $P = I$ in the derivative: it follows $w_k$ itself, and knows nothing of
# $h$. Where $\gamma a > 1$ the true derivative by that weight has the *opposite* sign.

# %%
curvature = jnp.array([0.1, 0.5, 1.0, 2.0])
w, h = jnp.array([1.0, -1.0, 0.5, 2.0]), jnp.array([0.2, 0.1, -0.3, 0.4])


def toy_inner(w, h, batch):
    """A quadratic bowl around h."""
    return 0.5 * jnp.sum(curvature * (w - h) ** 2)


def toy_outer(w, h, batch):
    """Half the squared length."""
    return 0.5 * jnp.sum(w**2)


def toy(mode, steps):
    """The toy as a case of the instrument panel."""

    def step(rate, w, h):
        result = bilevel.hypergradient(
            toy_outer, jax.grad(toy_inner, (0, 1)), w, h,
            inner_batch=None, outer_batch=None, optimizer=optax.sgd(rate),
            steps=steps, mode=mode,
        )  # fmt: skip
        return {"w": result.params, "h": result.hyper}, result.value

    return step


def closed_form(rate, steps):
    """The two derivatives above."""
    shrink = (1 - rate * curvature) ** steps
    end = h + shrink * (w - h)
    return {"w": shrink * end, "h": (1 - shrink) * end}


for mode in bilevel.EXACT:
    found, _ = jax.jit(toy(mode, 3))(0.4, w, h)
    for by, expected in closed_form(0.4, 3).items():
        np.testing.assert_allclose(found[by], expected, rtol=1e-5)
    print(f"{mode}: equal to the closed form")

# %% [markdown]
# The panel runs every mode and compares the derivatives. First order by `h` is zero: there
# its cosine is drawn as 0.

# %%
rates = [0.01, 0.03, 0.1, 0.3, 0.6, 1.0, 1.5]
case = instrument.Case("toy", toy, lambda batch_size: (w, h))
panel = instrument.measure(case, rates=rates, steps=1, repeats=1)


def agreement(panel, by, value):
    """Points of a picture: how a derivative agrees with the exact one."""
    return [(a.mode, a.rate, getattr(a, value)) for a in panel.agreements if a.by == by]


mode_curves(
    [
        Curves("toy: cosine by w", "inner rate", agreement(panel, "w", "cosine")),
        Curves(
            "toy: norm by w, over exact",
            "inner rate",
            agreement(panel, "w", "norm_ratio"),
        ),
    ]
)

# %% [markdown]
# ## Where symmetry fails
#
# `forward_over_reverse` uses that second derivatives are symmetric. Gradient reversal, a
# hand-written derivative that is not that of its function, breaks this: the mode is
# refused, `check_symmetry` measures by how much it would be wrong, and the reverse modes
# stay exact.


# %%
@jax.custom_vjp
def reverse(x):
    """The identity, whose derivative is written as -1."""
    return x


reverse.defvjp(lambda x: (x, None), lambda _, g: (-g,))


def two_players(w, h, batch):
    """One term that the steps minimize, and one that they maximize."""
    return jnp.sum(jnp.cos(w * h)) + jnp.sum(jnp.sin(reverse(w) * h * w[::-1]))


@functools.partial(jax.jit, static_argnums=2)
def through_reversal(w, h, mode):
    """The derivative through two steps."""
    gradient, sgd = jax.grad(two_players, (0, 1)), optax.sgd(0.5)
    return bilevel.hypergradient(
        toy_outer,
        gradient,
        w,
        h,
        inner_batch=None,
        outer_batch=None,
        optimizer=sgd,
        steps=2,
        mode=mode,
    )


for mode in bilevel.EXACT:
    try:
        print(f"{mode}: {through_reversal(w, h, mode).hyper}")
    except TypeError as error:
        print(f"{mode}: {str(error)[:64]}...")
try:
    bilevel.check_symmetry(jax.grad(two_players, (0, 1)), w, h, None)
except ValueError as error:
    print(f"check_symmetry: {str(error)[:132]}...")

# %% [markdown]
# ## A small network
#
# As in MAML: adapt a network to one task by $k$ inner steps on its support set, test it on
# its query set, differentiate by the start. The larger the inner rate, and the more steps,
# the less first order and exact have in common.

# %%
WIDTH, DEPTH = (8, 2) if SMALL else (64, 3)


def network(params, x):
    """A perceptron [N, 1] to [N]."""
    for kernel, bias in params[:-1]:
        x = jnp.tanh(x @ kernel + bias[None])
    kernel, bias = params[-1]
    return (x @ kernel + bias[None])[:, 0]


def start(key):
    """Random weights of the network."""
    sizes = [1, *[WIDTH] * DEPTH, 1]
    return [
        (jax.random.normal(k, (a, b)) / np.sqrt(a), jnp.zeros(b))
        for k, a, b in zip(
            jax.random.split(key, len(sizes) - 1), sizes[:-1], sizes[1:], strict=True
        )
    ]


def loss(params, _, batch):
    """Mean squared error on a task."""
    x, y = batch
    return jnp.mean((network(params, x) - y) ** 2)


def maml(mode, steps, optimizer=optax.sgd):
    """The derivative by the start, of one task."""

    def step(rate, params, support, query):
        result = bilevel.hypergradient(
            loss, jax.grad(loss, (0, 1)), params, (),
            inner_batch=support, outer_batch=query, optimizer=optimizer(rate),
            steps=steps, mode=mode,
        )  # fmt: skip
        return {"weights": result.params}, result.value

    return step


def task(batch_size):
    """Start, support and query of a sine."""
    keys = jax.random.split(KEY, 3)
    support, query = (
        jax.random.uniform(k, (batch_size, 1), minval=-3.0, maxval=3.0)
        for k in keys[:2]
    )
    return (
        start(keys[2]),
        (support, jnp.sin(support[:, 0])),
        (query, jnp.sin(query[:, 0])),
    )


STEPS = (2,) if SMALL else (1, 2, 4, 8, 16)
BATCH = 16 if SMALL else 1024
few = (
    "first_order",
    "finite_difference",
    "forward_over_reverse",
    "reverse_over_reverse",
)
case = instrument.Case("network", maml, task)
by_rate = instrument.measure(
    case, rates=[0.003, 0.01, 0.03, 0.1, 0.2], steps=STEPS[-1] if SMALL else 4,
    batch_size=BATCH, modes=few, repeats=1,
)  # fmt: skip
mode_curves(
    [
        Curves(
            "network: cosine",
            "inner rate",
            agreement(by_rate, "weights", "cosine"),
            "log",
        ),
        Curves(
            "network: norm over exact",
            "inner rate",
            agreement(by_rate, "weights", "norm_ratio"),
            "log",
        ),
    ]
)

# %% [markdown]
# ## What forward-over-reverse saves
#
# Plain `jax.grad` through $k$ steps ("unrolled") keeps the activations of all steps and
# of their gradients. The recursion of `bilevel` keeps what each step starts from (the
# weights for SGD, four times as much for Adam), and takes the second derivative of one
# step at a time; in forward-over-reverse mode that stores nothing for a second backward
# pass. The batch is large here: activations are most of the memory. With a small batch it
# grows with $k$ in every mode (`docs/meta_gradients.md` has numbers).

# %%
by_steps = instrument.sweep(
    case, [(BATCH, k, bilevel.MODES) for k in STEPS], rates=[0.03], repeats=3
)


def cost(panel, value, unit):
    """Points of a picture: a cost against the number of inner steps."""
    return [(c.mode, c.steps, getattr(c, value) / unit) for c in panel.costs]


for c in by_steps.costs:
    if c.steps == STEPS[-1]:
        megabytes, milliseconds = c.temporary_bytes / 1e6, 1e3 * c.seconds
        print(f"k = {c.steps}, {c.mode:<21}{megabytes:8.2f} MB{milliseconds:8.1f} ms")
mode_curves(
    [
        Curves("temporary MB", "inner steps k", cost(by_steps, "temporary_bytes", 1e6)),
        Curves("milliseconds", "inner steps k", cost(by_steps, "seconds", 1e-3)),
    ]
)

# %% [markdown]
# ## Memory against k, without running anything
#
# `bilevel.cost` compiles the programs for shapes alone. Here activations are few, and what
# grows is the state before each step; `segments="sqrt"` stores about $2 \sqrt{k}$ of
# them and runs each step twice. The unit is the weights with the state of Adam.


# %%
def predicted(k):
    """Cost of every mode, plain and in segments, at k steps of Adam."""
    shapes = jax.eval_shape(lambda: task(2))
    return bilevel.cost(
        loss, jax.grad(loss, (0, 1)), shapes[0], (),
        inner_batch=shapes[1], outer_batch=shapes[2],
        optimizer=optax.adam(0.01, eps_root=1e-8), steps=k,
        modes=("forward_over_reverse",) if SMALL else tuple(bilevel.MODES),
    ).costs  # fmt: skip


by_k = [c for k in ((4,) if SMALL else (1, 8, 32, 128)) for c in predicted(k)]
states = [(f"{c.mode}, {c.segments}", c.steps, c.states) for c in by_k]
whole, segmented = (
    [point for point, c in zip(states, by_k, strict=True) if c.segments == kind]
    for kind in (None, "sqrt")
)
mode_curves(
    [
        Curves("states, without segments", "inner steps k", whole, "log", "log"),
        Curves("states, segments='sqrt'", "inner steps k", segmented, "log", "log"),
    ]
)

# %% [markdown]
# ## Where first order is wrong: steps and batch
#
# At one rate, the cosine changes with the number of steps, and with the batch: measure at
# the sizes that you train with.

# %%
firsts = ("first_order", "reverse_over_reverse")
SETTINGS = [(16, k, firsts) for k in ((1,) if SMALL else (1, 2, 4, 8, 16))]
SETTINGS += [] if SMALL else [(n, 4, firsts) for n in (4, 64, 256)]
by_setting = instrument.sweep(case, SETTINGS, rates=[0.01, 0.1], repeats=1)


def cosines(x, other, value):
    """Points of a picture: first order along one axis, a curve for each rate."""
    return [
        (f"rate {a.rate:g}", getattr(a, x), a.cosine)
        for a in by_setting.agreements
        if a.mode == "first_order" and getattr(a, other) == value
    ]


mode_curves(
    [
        Curves(
            "cosine of first order", "inner steps k", cosines("steps", "batch_size", 16)
        ),
        Curves(
            "cosine of first order",
            "batch",
            cosines("batch_size", "steps", 1 if SMALL else 4),
        ),
    ]
)

# %% [markdown]
# ## Adam inside
#
# Any optax transformation of gradients can make the inner steps; derivatives pass through
# its state. One trap: Adam divides by a root, whose derivative is infinite at a zero
# gradient, so one weight without inner gradient (of an input that is always dark, say)
# makes the derivative NaN. `eps_root`, added inside of the root (`eps` is added outside),
# avoids it, and `check_finite` reports it. Everything runs under `jax.jit`: outside, each
# call would compile its loops anew.

# %%
params, (x, y), query = task(16)
dark = jnp.concatenate([x, jnp.zeros_like(x)], 1), y
params = [(jnp.tile(params[0][0], (2, 1)), params[0][1]), *params[1:]]
query = jnp.concatenate([query[0], query[0]], 1), query[1]


@jax.jit
def through_adam(params, eps_root):
    """The derivative by the start, of a network with an input that support lacks."""
    adam = optax.adam(0.01, eps_root=eps_root)
    grad = jax.grad(loss, (0, 1))
    return bilevel.hypergradient(
        loss,
        grad,
        params,
        (),
        inner_batch=dark,
        outer_batch=query,
        optimizer=adam,
        steps=3,
    )


for eps_root in (0.0, 1e-8):
    result = through_adam(params, eps_root)
    try:
        bilevel.check_finite(result)
        print(f"eps_root {eps_root}: finite, norm {optax.tree.norm(result.params):.3f}")
    except ValueError as error:
        print(f"eps_root {eps_root}: {error}")

# %% [markdown]
# How much first order loses under Adam, whose steps are as long as the rate however small
# the gradients are:


# %%
def maml_adam(mode, steps):
    """As before, with Adam."""
    return maml(mode, steps, lambda rate: optax.adam(rate, eps_root=1e-8))


by_rate_adam = instrument.measure(
    instrument.Case("Adam", maml_adam, task), rates=[0.003, 0.01, 0.03, 0.1],
    steps=STEPS[-1] if SMALL else 4, batch_size=BATCH, modes=few, repeats=1,
)  # fmt: skip
mode_curves(
    [
        Curves(
            "Adam inside: cosine",
            "inner rate",
            agreement(by_rate_adam, "weights", "cosine"),
            "log",
        ),
        Curves(
            "norm over exact",
            "inner rate",
            agreement(by_rate_adam, "weights", "norm_ratio"),
            "log",
        ),
    ]
)

# %% [markdown]
# ## At the optimum: the implicit derivative
#
# Where the inner problem is solved, the way to the solution does not matter, and the
# implicit function theorem gives the derivative by `h` with no step at all. Here: ridge
# regression, `h` the logarithm of its penalty, and a closed form to compare with. The more
# steps, the nearer both the steps' derivative and the implicit one (taken where the steps
# end) come to the derivative of the optimum; the implicit one is nearer and stores
# nothing of the steps.

# %%
x = jax.random.normal(KEY, (20, 5)) * jnp.array([[2.0, 1.0, 1.0, 0.5, 0.3]])
truth = jnp.array([1.0, -2.0, 0.5, 1.0, 3.0])
y = x @ truth + 0.5 * jax.random.normal(jax.random.key(1), (20,))
train, valid = (x[:10], y[:10]), (x[10:], y[10:])


def error(w, h, batch):
    """Mean squared error."""
    return jnp.mean((batch[0] @ w - batch[1]) ** 2)


def ridge(w, h, batch):
    """The inner loss."""
    return error(w, h, batch) + jnp.exp(h) * jnp.sum(w**2)


def optimum(h):
    """What the steps go to."""
    gram = train[0].T @ train[0] / 10 + jnp.exp(h) * jnp.eye(5)
    return jnp.linalg.solve(gram, train[0].T @ train[1] / 10)


penalty, gradient = jnp.array(-1.0), jax.grad(ridge, (0, 1))
exact = jax.jit(jax.grad(lambda h: error(optimum(h), h, valid)))(penalty)
begin, sgd = jnp.zeros(5), optax.sgd(0.1)


@functools.partial(jax.jit, static_argnums=0)
def both(k):
    """Through k steps, and implicit where they end."""
    through = bilevel.hypergradient(
        error,
        gradient,
        begin,
        penalty,
        inner_batch=train,
        outer_batch=valid,
        optimizer=sgd,
        steps=k,
    )
    end = bilevel.inner_update(
        gradient, begin, penalty, batch=train, optimizer=sgd, steps=k
    ).params
    implicit = bilevel.implicit_hypergradient(
        error, gradient, end, penalty, inner_batch=train, outer_batch=valid
    )
    return through.hyper, implicit.hyper


points = []
for k in (4, 64) if SMALL else (1, 2, 4, 8, 16, 32, 64, 128):
    through, implicit = both(k)
    points.append(("through the steps", k, abs(float(through / exact - 1))))
    points.append(("implicit, where they end", k, abs(float(implicit / exact - 1))))
    print(f"k = {k}: through the steps {through:.4f}, implicit {implicit:.4f}")
print(f"exact {exact:.4f}")
mode_curves([Curves("relative error by h", "inner steps k", points, "log", "log")])
