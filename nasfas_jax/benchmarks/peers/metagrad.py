"""Steps of RFMeta and Meta-NAS in the styles of PyTorch users.

Style 'functional' calls `torch.func.functional_call` with weights computed by
`torch.autograd.grad(..., create_graph=True)`. Style 'higher' replaces the weights of a
copy of the module by tensors of the graph, as the library of that name does.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.func import functional_call  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from nasfas_jax.benchmarks.peers import nets


class Functional:
    """A module that is called with given weights."""

    def __init__(self, module: nn.Module):
        self.module = module
        self.weights = dict(module.named_parameters())

    def __call__(self, *inputs: Any) -> Tensor:
        """The module's output under `weights`."""
        return functional_call(self.module, self.weights, inputs)

    def updated(self, weights: list[Tensor]) -> "Functional":
        """Returns a copy with other weights."""
        new = copy.copy(self)
        new.weights = dict(zip(self.weights, weights, strict=True))
        return new


class Patched:
    """A copy of a module whose parameters are plain tensors."""

    def __init__(self, module: nn.Module):
        self.module = copy.deepcopy(module)
        self.weights = dict(module.named_parameters())
        self._put()

    def __call__(self, *inputs: Any) -> Tensor:
        """The module's output under `weights`."""
        return self.module(*inputs)

    def updated(self, weights: list[Tensor]) -> "Patched":
        """Replaces the weights in place and returns the object."""
        self.weights = dict(zip(self.weights, weights, strict=True))
        self._put()
        return self

    def _put(self) -> None:
        for name, weight in self.weights.items():
            owner, _, leaf = name.rpartition(".")
            module = self.module.get_submodule(owner)
            module._parameters.pop(leaf, None)
            module.__dict__[leaf] = weight


STYLES: dict[str, Callable[[nn.Module], Any]] = {
    "functional": Functional,
    "higher": Patched,
}


def descend(model: Any, loss: Tensor, rate: float) -> Any:
    """Returns the model after one gradient step on ``loss``, differentiable."""
    weights = list(model.weights.values())
    grads = torch.autograd.grad(loss, weights, create_graph=True)
    return model.updated([w - rate * g for w, g in zip(weights, grads, strict=True)])


class RFMeta:
    """Algorithm 1 with its mean losses, one Adam over F, M and D."""

    def __init__(self, style: str, width: float, inner_rate: float, weight: float):
        self.wrap = STYLES[style]
        self.nets = nets.FeatureNets(width)
        self.inner_rate, self.weight = inner_rate, weight
        self.optimizer = torch.optim.Adam(self.nets.parameters(), lr=1e-3)

    def load(self, params: Any) -> None:
        """Loads the parameters of `methods.feature_nets.FeatureNets`."""
        nets.load(self.nets, nets.feature_weights(self.nets, params))

    def step(self, episode: dict) -> float:
        """Takes a step on an episode of `tensors`; returns the loss before it."""
        support, query = episode["support"], episode["query"]
        z_q, loss = self._features(query)
        learner = self.nets.M
        for i in range(len(support["label"])):
            batch = {name: x[i] for name, x in support.items()}
            z, depth = self._features(batch)
            model = self.wrap(learner)
            classification = entropy(model(z), batch["label"])
            adapted = descend(model, classification, self.inner_rate)
            test = entropy(adapted(z_q), query["label"])
            loss = loss + classification + depth + test
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def _features(self, batch: dict) -> tuple[Tensor, Tensor]:
        """Features for M, and the weighted depth loss."""
        features, joined = self.nets.F(batch["image"])
        maps = self.nets.D(joined)[:, 0]
        target = functional.adaptive_avg_pool2d(batch["target"], maps.shape[1:])
        return features, self.weight * functional.mse_loss(maps, target)

    def moments(self) -> dict[str, np.ndarray]:
        """Adam's first moments by name: after one step, (1 - b1) times the gradient."""
        return {
            name: self.optimizer.state[p]["exp_avg"].numpy(force=True)
            for name, p in self.nets.named_parameters()
        }

    def expected(self, moments: Any) -> dict[str, np.ndarray]:
        """Renames a tree with the structure of our parameters as in `moments`."""
        return nets.feature_weights(self.nets, moments)


class MetaNAS:
    """Algorithm 1 of NAS-FAS, exact in both orders: three nested derivatives.

    ``options``: ``learning_rate``, ``weight_decay`` and ``eps_root`` of Adam for the
    weights, through which the derivative with respect to the alphas passes;
    ``alpha_learning_rate`` and ``alpha_weight_decay`` of Adam for the alphas;
    ``inner_rate``.
    """

    def __init__(self, style: str, space: Any, options: dict[str, float]):
        self.wrap, self.options = STYLES[style], options
        self.net = nets.Supernet(space)
        self.alphas = self.net.new_alphas()
        self.alpha_optimizer = torch.optim.Adam(
            list(self.alphas.values()),
            lr=options["alpha_learning_rate"],
            betas=(0.5, 0.999),
            weight_decay=options["alpha_weight_decay"],
        )
        self.adam: dict[str, list[Tensor]] = {}
        self.count = 0

    def load(self, params: Any) -> None:
        """Loads ``(params, alphas)`` of our supernet."""
        weights, alphas = params
        nets.load(self.net, nets.supernet_weights(self.net, weights))
        for cell, alpha in self.alphas.items():
            alpha.data = torch.as_tensor(np.array(alphas[cell]))

    def step(self, episode: dict) -> float:
        """Takes a step on an episode; returns the query loss at the new weights."""
        support, query = episode["support"], episode["query"]
        weights = list(self.net.parameters())
        meta = 0.0
        for i in range(len(support["target"])):
            batch = {name: x[i] for name, x in support.items()}
            model = self.wrap(self.net)
            inner = self._loss(model, batch)
            model = descend(model, inner, self.options["inner_rate"])
            meta = meta + self._loss(model, query)
        grads = torch.autograd.grad(meta, weights, create_graph=True)
        new = self._adam(weights, list(grads))
        loss = self._loss(self.wrap(self.net).updated(new), query)
        alphas = list(self.alphas.values())
        for alpha, grad in zip(alphas, torch.autograd.grad(loss, alphas), strict=True):
            alpha.grad = grad
        self.alpha_optimizer.step()
        with torch.no_grad():
            for weight, value in zip(weights, new, strict=True):
                weight.copy_(value)
        self.adam = {name: [x.detach() for x in m] for name, m in self.adam.items()}
        return loss.item()

    def _loss(self, model: Any, batch: dict) -> Tensor:
        return depth_loss(model(batch["image"], self.alphas), batch["target"])

    def _adam(self, weights: list[Tensor], grads: list[Tensor]) -> list[Tensor]:
        """One differentiable update; eps inside the root makes it so at 0."""
        if not self.adam:
            zeros = [torch.zeros_like(w) for w in weights]
            self.adam = {"m": zeros, "v": list(zeros)}
        self.count += 1
        first, second = 1 - 0.9**self.count, 1 - 0.999**self.count
        new = []
        for i, (w, grad) in enumerate(zip(weights, grads, strict=True)):
            g = grad + self.options["weight_decay"] * w
            m = self.adam["m"][i] = 0.9 * self.adam["m"][i] + 0.1 * g
            v = self.adam["v"][i] = 0.999 * self.adam["v"][i] + 0.001 * g**2
            root = (v / second + self.options["eps_root"]).sqrt() + 1e-8
            new.append(w - self.options["learning_rate"] * m / first / root)
        return new

    def moments(self) -> dict[str, np.ndarray]:
        """Adam's first moments of weights and alphas."""
        names = [name for name, _ in self.net.named_parameters()]
        found = {
            n: m.numpy(force=True) for n, m in zip(names, self.adam["m"], strict=True)
        }
        for cell, alpha in self.alphas.items():
            state = self.alpha_optimizer.state[alpha]
            found[f"alphas of {cell}"] = state["exp_avg"].numpy(force=True)
        return found

    def expected(self, moments: Any) -> dict[str, np.ndarray]:
        """Renames trees with the structure of ``(params, alphas)`` as in `moments`."""
        weights, alphas = moments
        named = {f"alphas of {cell}": np.asarray(x) for cell, x in alphas.items()}
        return nets.supernet_weights(self.net, weights) | named


def entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Mean binary cross entropy."""
    return functional.binary_cross_entropy_with_logits(logits, label.to(logits.dtype))


def depth_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """MSE and contrastive depth loss, with its eight filters as one convolution."""
    filters = torch.zeros(8, 1, 3, 3, dtype=predicted.dtype)
    around = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    for k, (i, j) in enumerate(around):
        filters[k, 0, i, j], filters[k, 0, 1, 1] = 1, -1
    slopes = [functional.conv2d(x[:, None], filters) for x in (predicted, target)]
    return functional.mse_loss(predicted, target) + functional.mse_loss(*slopes)


def tensors(episode: dict) -> dict:
    """Converts an episode to tensors, images to NCHW."""
    return {
        split: {
            name: torch.as_tensor(
                np.array(np.moveaxis(x, -1, -3) if name == "image" else x, order="C")
            )
            for name, x in batch.items()
        }
        for split, batch in episode.items()
    }
