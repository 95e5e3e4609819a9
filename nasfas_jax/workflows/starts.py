"""Weights of a file that a training starts from."""

import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from nasfas_jax import files
from nasfas_jax.errors import InputError
from nasfas_jax.workflows import model_files

#: Arrays that a file may lack: a classifier for other classes is trained anew.
OPTIONAL = "params.classifier."


class Start(NamedTuple):
    """Arrays of a file.

    Attributes:
      path: the file.
      digest: its SHA-256.
      weights: arrays by their names in a saved model, as ``params.stem.kernel`` and
        ``batch_stats.stem.BatchNorm_0.mean``.
    """

    path: pathlib.Path
    digest: str
    weights: Mapping[str, np.ndarray]

    def applied(self, state: Any) -> Any:
        """A training state with these weights; arrays that the file lacks stay.

        Args:
          state: state of `methods.state.TrainState`, or its shapes.

        Raises:
          InputError: an array that the state does not have, of another shape or type, or
            missing beside those of the classifier.
        """
        own = {"params": state.params, "batch_stats": state.batch_stats}
        expected = model_files.named(own)
        kept = {
            name: array
            for name, array in expected.items()
            if name.startswith(OPTIONAL) and name not in self.weights
        }
        if problem := model_files.misfit(own, {**kept, **self.weights}):
            raise InputError(
                f"{self.path}: {problem}. Expected are the arrays of the network as in the"
                " weights.safetensors of its saved model; those of params.classifier may"
                " be absent.",
                field="start",
            )
        new = jax.tree.map_with_path(
            lambda path, leaf: self._array(model_files.leaf_name(path), leaf), own
        )
        return state.replace(**new)

    def _array(self, name: str, own: Any) -> Any:
        return jnp.asarray(self.weights[name]) if name in self.weights else own


def read(path: str | pathlib.Path) -> Start:
    """The arrays of a safetensors file.

    Raises:
      InputError: no such file, or another format.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(
            f"expected a safetensors file, got {path}, which is none.", field="start"
        )
    with files.writing(path):
        data = path.read_bytes()
    try:
        weights = safetensors.numpy.load(data)
    except safetensors.SafetensorError as error:
        raise InputError(
            f"expected a safetensors file, got {path} ({error}).", field="start"
        ) from None
    return Start(path, hashlib.sha256(data).hexdigest(), weights)
