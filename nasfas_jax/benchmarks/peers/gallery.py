"""The gallery's problems in PyTorch: in `torch.func` style, with higher, and with TorchOpt.

'torch' is the loop over `torch.autograd.grad(..., create_graph=True)` that most
repositories contain, and learn2learn's `MAML` as well (which no longer installs on
Python 3.11 or newer: its C file needs a header of Python 3.10). 'torch.func' maps the
same loop over tasks by `vmap`. 'higher' and 'torchopt' are those libraries.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from nasfas_jax.benchmarks.gallery import (
    images,
    label_noise,
    learned_optimizer,
    operations,
    penalties,
    sinusoids,
)

Params = dict[str, Tensor]
Loss = Callable[[Params, Any, dict[str, Tensor]], Tensor]


class Problem(NamedTuple):
    """An inner and an outer loss, and the steps between them.

    Attributes:
      inner: ``(params, hyper, batch) -> loss``.
      outer: the same for the outer batch.
      rate: learning rate of the steps.
      steps: their number.
      momentum: momentum of the steps.
      tasks: whether batches are stacked tasks and the derivative is by the parameters;
        it is by the hyperparameters otherwise.
    """

    inner: Loss
    outer: Loss
    rate: float
    steps: int
    momentum: float = 0.0
    tasks: bool = False


class Module(nn.Module):
    """Parameters as a module, as libraries for modules need them."""

    def __init__(self, params: Params):
        super().__init__()
        self.names = list(params)
        for name, value in params.items():
            self.register_parameter(name, nn.Parameter(value.detach().clone()))

    def forward(self, loss: Loss, hyper: Any, batch: dict[str, Tensor]) -> Tensor:
        """A loss of the parameters."""
        return loss({name: getattr(self, name) for name in self.names}, hyper, batch)


def by_torch(problem: Problem, params: Params, hyper: Any, inner: dict, outer: dict):
    """Value and derivative by a written-out loop."""
    start = {name: value.detach().requires_grad_() for name, value in params.items()}
    value = unroll(problem, start, hyper, inner, outer)
    return value, torch.autograd.grad(value, variables(problem, start, hyper))


def unroll(problem: Problem, params: Params, hyper: Any, inner: dict, outer: dict):
    """Outer loss after the steps."""
    velocity = [torch.zeros_like(w) for w in params.values()]
    for _ in range(problem.steps):
        loss = problem.inner(params, hyper, inner)
        grads = torch.autograd.grad(loss, list(params.values()), create_graph=True)
        velocity = [
            problem.momentum * v + g for v, g in zip(velocity, grads, strict=True)
        ]
        moved = zip(params.items(), velocity, strict=True)
        params = {name: w - problem.rate * v for (name, w), v in moved}
    return problem.outer(params, hyper, outer)


def by_func(problem: Problem, params: Params, hyper: Any, inner: dict, outer: dict):
    """Mean value and derivative over all tasks at once, by `torch.func.vmap`."""

    def objective(params, inner, outer):
        for _ in range(problem.steps):
            grads = torch.func.grad(problem.inner)(params, hyper, inner)
            params = {
                name: w - problem.rate * grads[name] for name, w in params.items()
            }
        return problem.outer(params, hyper, outer)

    def mean(params):
        return torch.func.vmap(objective, (None, 0, 0))(params, inner, outer).mean()

    grads, value = torch.func.grad_and_value(mean)(params)
    return value, tuple(grads.values())


def by_higher(problem: Problem, params: Params, hyper: Any, inner: dict, outer: dict):
    """Value and derivative by `higher.innerloop_ctx`."""
    import higher  # pyright: ignore[reportMissingImports]

    module = Module(params)
    sgd = torch.optim.SGD(
        module.parameters(), lr=problem.rate, momentum=problem.momentum
    )
    with higher.innerloop_ctx(module, sgd, copy_initial_weights=False) as (fast, step):
        for _ in range(problem.steps):
            step.step(fast(problem.inner, hyper, inner))
        value = fast(problem.outer, hyper, outer)
        start = dict(module.named_parameters())
        return value, torch.autograd.grad(value, variables(problem, start, hyper))


def by_torchopt(problem: Problem, params: Params, hyper: Any, inner: dict, outer: dict):
    """Value and derivative by `torchopt.MetaSGD`."""
    import torchopt  # pyright: ignore[reportMissingImports]

    module = Module(params)
    start = dict(module.named_parameters())
    sgd = torchopt.MetaSGD(module, lr=problem.rate, momentum=problem.momentum)
    for _ in range(problem.steps):
        sgd.step(module(problem.inner, hyper, inner))
    value = module(problem.outer, hyper, outer)
    return value, torch.autograd.grad(value, variables(problem, start, hyper))


def variables(problem: Problem, start: Params, hyper: Any) -> list[Tensor]:
    """Tensors that the derivative is taken by."""
    if problem.tasks:
        return list(start.values())
    return list(hyper.values()) if isinstance(hyper, dict) else [hyper]


STYLES: dict[str, Callable] = {
    "torch": by_torch,
    "torch.func": by_func,
    "higher": by_higher,
    "torchopt": by_torchopt,
}


def gradient(
    name: str, style: str, arguments: tuple, steps: int | None = None
) -> Callable[[], tuple]:
    """A function without arguments: value and derivative of a problem in a style.

    Args:
      name: name of a problem.
      style: one of `STYLES`.
      arguments: the four arguments of the gallery's ``meta_gradient``, as numpy arrays.
      steps: number of inner steps; None: the problem's.
    """
    params, hyper, inner, outer = (tensors(tree) for tree in arguments)
    if not isinstance(hyper, tuple):
        for leaf in hyper.values() if isinstance(hyper, dict) else [hyper]:
            leaf.requires_grad_()
    if name == "learned_optimizer":
        return lambda: numbers(learn(params, hyper, inner, outer))
    problem, differentiate = PROBLEMS[name], STYLES[style]
    problem = problem._replace(steps=steps or problem.steps)
    if style == "torch.func" or not problem.tasks:
        return lambda: numbers(differentiate(problem, params, hyper, inner, outer))
    count = len(inner["y"])

    def over_tasks():
        value, total = torch.zeros(()), [torch.zeros_like(w) for w in params.values()]
        for i in range(count):
            task = ({key: x[i] for key, x in batch.items()} for batch in (inner, outer))
            one, grads = differentiate(problem, params, hyper, *task)
            value = value + one.detach() / count
            total = [a + g / count for a, g in zip(total, grads, strict=True)]
        return numbers((value, total))

    return over_tasks


def tensors(tree: Any) -> Any:
    """Arrays as tensors; integers as int64."""
    if isinstance(tree, dict):
        return {name: tensors(tree[name]) for name in sorted(tree)}
    if isinstance(tree, tuple):
        return tree
    tensor = torch.as_tensor(np.array(tree))
    return tensor.long() if tensor.dtype == torch.int32 else tensor


def numbers(result: tuple) -> tuple[np.ndarray, list[np.ndarray]]:
    """Value and derivatives as arrays."""
    value, grads = result
    return value.numpy(force=True), [g.numpy(force=True) for g in grads]


def sinusoid_loss(params: Params, hyper: Any, batch: dict) -> Tensor:
    """Counterpart of `sinusoids.loss`."""
    x, last = batch["x"], len(sinusoids.SIZES) - 2
    for i in range(last):
        x = torch.relu(x @ params[f"w{i}"] + params[f"b{i}"])
    x = x @ params[f"w{last}"] + params[f"b{last}"]
    return ((x - batch["y"]) ** 2).mean()


def image_loss(params: Params, hyper: Any, batch: dict) -> Tensor:
    """Counterpart of `images.loss`, with PyTorch's convolutions."""
    x = batch["x"].movedim(-1, 1)
    for i in range(len(images.CHANNELS)):
        x = functional.conv2d(x, params[f"k{i}"].permute(3, 2, 0, 1), padding=1)
        bias = params[f"b{i}"]
        x = functional.batch_norm(x, None, None, torch.ones_like(bias), bias, True)
        x = functional.max_pool2d(functional.relu(x), 2)
    x = x.movedim(1, -1).reshape(len(x), -1)
    return functional.cross_entropy(x @ params["w"] + params["b"], batch["y"])


def class_loss(params: Params, hyper: Any, batch: dict) -> Tensor:
    """Counterpart of `penalties.outer_loss`."""
    return functional.cross_entropy(batch["x"] @ params["w"] + params["b"], batch["y"])


def penalized_loss(params: Params, hyper: Any, batch: dict) -> Tensor:
    """Counterpart of `penalties.inner_loss`."""
    penalty = sum((torch.exp(hyper[n]) * params[n] ** 2).sum() for n in params)
    return class_loss(params, hyper, batch) + penalty


def clean_losses(params: Params, batch: dict) -> Tensor:
    """Counterpart of `label_noise.entropies`."""
    x = torch.tanh(batch["x"] @ params["w0"] + params["b0"])
    logits = x @ params["w1"] + params["b1"]
    return functional.cross_entropy(logits, batch["y"], reduction="none")


def cell_loss(params: Params, alphas: Tensor, batch: dict) -> Tensor:
    """Counterpart of `operations.loss`."""
    nodes = {0: batch["x"] @ params["stem"]}
    for edge, (a, b) in enumerate(operations.EDGES):
        skip, *dense = torch.softmax(alphas[edge], 0)
        mixed = skip * nodes[a]
        activations = torch.tanh, torch.relu, torch.sin
        names = [operations.kernel(a, b, f) for f in operations.DENSE]
        for weight, f, name in zip(dense, activations, names, strict=True):
            mixed = mixed + weight * f(nodes[a] @ params[name])
        nodes[b] = nodes[b] + mixed if b in nodes else mixed
    return functional.cross_entropy(nodes[2] @ params["head"], batch["y"])


PROBLEMS = {
    "sinusoids": Problem(
        sinusoid_loss, sinusoid_loss, sinusoids.RATE, sinusoids.STEPS, tasks=True
    ),
    "images": Problem(image_loss, image_loss, images.RATE, images.STEPS, tasks=True),
    "penalties": Problem(
        penalized_loss, class_loss, penalties.RATE, penalties.STEPS, penalties.MOMENTUM
    ),
    "label_noise": Problem(
        lambda p, h, b: (torch.sigmoid(h) * clean_losses(p, b)).mean(),
        lambda p, h, b: clean_losses(p, b).mean(),
        label_noise.RATE,
        label_noise.STEPS,
    ),
    "operations": Problem(cell_loss, cell_loss, operations.RATE, operations.STEPS),
}


def learn(params: Params, rule: Any, batches: dict, last: dict):
    """Value and derivative of `learned_optimizer`, written out."""

    def loss(params, batch):
        predicted = torch.tanh(batch["x"] @ params["w0"]) @ params["w1"]
        return ((predicted - batch["y"]) ** 2).mean()

    params = {name: w.detach().requires_grad_() for name, w in params.items()}
    momentum = {name: torch.zeros_like(w) for name, w in params.items()}
    total, count = torch.zeros(()), len(batches["y"])
    for t in range(count):
        batch = {name: x[t] for name, x in batches.items()}
        grads = torch.autograd.grad(
            loss(params, batch), list(params.values()), create_graph=True
        )
        for (name, w), g in zip(list(params.items()), grads, strict=True):
            m = learned_optimizer.DECAY * momentum[name]
            momentum[name] = m = m + (1 - learned_optimizer.DECAY) * g
            hidden = torch.tanh(torch.stack([g, m], -1) @ rule["in"] + rule["bias"])
            step = m + learned_optimizer.SCALE * hidden @ rule["out"]
            params[name] = w - learned_optimizer.SCALE * step
        total = total + loss(params, batch) / count
    value = total + loss(params, last)
    return value, torch.autograd.grad(value, list(rule.values()))
