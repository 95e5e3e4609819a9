"""Hand-crafted features with a support vector machine, fitted and used as networks are."""

import dataclasses
import importlib
import pathlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from nasfas_jax import extras
from nasfas_jax.data.loading import prepared
from nasfas_jax.errors import InputError
from nasfas_jax.runtime import processes
from nasfas_jax.workflows import records

#: Number of features of each kind.
FEATURES = {"ms_lbp": 833, "color_texture": 354, "ida": 121, "lbp_top": 177}
#: Those of the frames of a clip; the others are of a face.
OF_CLIPS = ("lbp_top",)


@dataclasses.dataclass(frozen=True)
class Fitted:
    """The method of fitted features; it has no steps.

    Attributes:
      name: a key of `FEATURES`.
      support_vectors: their number.
    """

    name: str
    support_vectors: int

    def weights(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of the parameters, see `hand_crafted.HandCrafted`."""
        size, count = FEATURES[self.name], self.support_vectors
        shapes = {
            "mean": (size,),
            "scale": (size,),
            "support_vectors": (count, size),
            "coefficients": (count,),
            "intercept": (1,),
        }
        return {k: jax.ShapeDtypeStruct(v, np.float64) for k, v in shapes.items()}

    def predict(
        self, params: Mapping[str, np.ndarray], batch_stats: Any, image: np.ndarray
    ) -> np.ndarray:
        """Scores of images [B, ..., S, S, C] in [-1, 1], RGB first, as maps [B, 1, 1]."""
        del batch_stats
        pixels = np.rint((image[..., :3] + 1) * 127.5).astype(np.uint8)
        scorer = _library().HandCrafted(self.name, params)
        return scorer.score(pixels)[:, None, None]


def fit(
    name: str,
    data: prepared.Prepared,
    *,
    domains: Sequence[str],
    folder: pathlib.Path,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Fits on every static face, or all frames, of the domains' training clips.

    Args:
      name: a key of `FEATURES`.
      data: prepared data.
      domains: source domains.
      folder: folder for ``summary.json``, in which the numbers of the support vectors are
        the parameters, with a multiply-add for each; the cost of the features is left
        out.

    Returns:
      The description, and the parameters.

    Raises:
      InputError: scikit-image or scikit-learn is not installed.
    """
    features = _library().HandCrafted(name)
    split = data.splits["train"]
    rows = split.rows(domains)
    began = time.monotonic()
    column = "frames" if name in OF_CLIPS else "static"
    faces = split.load(rows, (column,))[column]
    params = features.fit(faces, split.table["label"][rows]).weights
    seconds = time.monotonic() - began
    numbers = params["support_vectors"].size
    cost = {"parameters": numbers, "macs": numbers}
    records.summarize(folder, cost, 0, seconds, seconds)
    return {"features": name, "support_vectors": len(params["coefficients"])}, params


def require_one_process() -> None:
    """Checks that hand-crafted features are fitted by one process.

    Raises:
      InputError: there are several.
    """
    if processes.count() > 1:
        raise InputError(
            f"expected 1 for hand-crafted features, got {processes.count()}.",
            field="processes",
        )


def require_libraries(networks: Iterable[str]) -> None:
    """Checks that the libraries of the hand-crafted features are installed.

    Args:
      networks: names of networks; without one of `FEATURES` nothing is checked.

    Raises:
      InputError: scikit-image or scikit-learn is not installed.
    """
    if FEATURES.keys() & set(networks):
        _library()


def _library() -> Any:
    """Module of the features, imported on use since it needs optional libraries."""
    extras.require("baselines", "skimage", "sklearn")
    return importlib.import_module("nasfas_jax.hand_crafted")
