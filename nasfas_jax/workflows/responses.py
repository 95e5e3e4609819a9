"""Feature responses under shifted light and camera (NAS-FAS figure 2)."""

import dataclasses

import jax
import numpy as np
from numpy.typing import ArrayLike

from nasfas_jax import limits, ops
from nasfas_jax.data.loading import prepared, views
from nasfas_jax.errors import InputError
from nasfas_jax.report import responses
from nasfas_jax.report.picture import Picture
from nasfas_jax.theta import RANGE

#: Output channels of the random kernel.
CHANNELS = 8
#: Contrast and offset, on the scale from -1 to 1, of the first face in another light.
LIGHT = (0.6, 0.3)


@dataclasses.dataclass(frozen=True, repr=False)
class Responses:
    """Responses of one kernel to faces of shifted domains.

    Attributes:
      captions: light and domain of each face.
      faces: faces [N, S, S, 3], uint8.
      vanilla: responses [N, S, S] of vanilla convolution, norms over output channels.
      central: those of central difference convolution.
      theta: share of central differences.
    """

    captions: list[str]
    faces: np.ndarray
    vanilla: np.ndarray
    central: np.ndarray
    theta: float

    @property
    def changes(self) -> tuple[float, float]:
        """Relative change by the other light, of vanilla and central responses.

        It is the norm of the difference between the first two faces' responses, over the
        norm of the first's.
        """
        norm = np.linalg.norm
        vanilla, central = (
            float(norm(r[1] - r[0]) / norm(r[0])) for r in (self.vanilla, self.central)
        )
        return vanilla, central

    def __repr__(self) -> str:
        vanilla, central = self.changes
        return (
            f"responses to {len(self.faces)} faces; changed by the other light: vanilla"
            f" {100 * vanilla:.0f} %, CDC with theta {self.theta:g} {100 * central:.0f} %"
        )

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return f"<p>{self!r}</p>{self.picture().html}"

    def picture(self) -> Picture:
        """The faces and both responses, a face a row."""
        columns = (self.captions, self.faces, self.vanilla, self.central)
        rows = [responses.Row(*row) for row in zip(*columns, strict=True)]
        return responses.grid(rows, self.theta)


def feature_responses(
    data: prepared.Prepared,
    *,
    attack_type: str = "print",
    split: str = "train",
    kernel: ArrayLike | None = None,
    theta: float = 0.7,
    seed: int = 0,
) -> Responses:
    """Responses to an attack filmed in every domain, and to the first in another light.

    Args:
      data: prepared data.
      attack_type: attack type of the faces, or 'live'.
      split: split of the faces.
      kernel: [3, 3, 3, O], as the first of a trained network; random, normal with mean
        0.1 and deviation 1, if None.
      theta: share of central differences.
      seed: seed of the random kernel.

    Raises:
      InputError: an unknown split or attack type, a kernel of another shape, or a theta or
        seed out of range.
    """
    limits.require(
        data=(data, prepared.DATA),
        theta=(theta, RANGE),
        seed=(seed, limits.SEED),
    )
    limits.require(split=(split, limits.OneOf(data.splits)))
    table = data.splits[split].table
    types = table["attack_type"]
    limits.require(attack_type=(attack_type, limits.OneOf(sorted(set(types.tolist())))))
    if kernel is None:
        kernel = np.random.default_rng(seed).normal(0.1, 1, (3, 3, 3, CHANNELS))
    kernel = np.asarray(kernel, np.float32)
    if kernel.ndim != 4 or kernel.shape[:3] != (3, 3, 3):
        raise InputError(
            f"expected [3, 3, 3, O], got {list(kernel.shape)}.", field="kernel"
        )
    domains = table["domain"][types == attack_type]
    rows = np.flatnonzero(types == attack_type)
    names, first = np.unique(domains, return_index=True)
    faces = data.splits[split].load(rows[first], ("static",))["static"]
    images = views.scale(faces)
    contrast, offset = LIGHT
    lit = np.clip(contrast * images[:1] + offset, -1, 1).astype(np.float32)
    images = np.concatenate([images[:1], lit, images[1:]])
    captions = [str(names[0]), f"{names[0]},\nother light", *map(str, names[1:])]
    vanilla, central = (_norms(images, kernel, share) for share in (0.0, theta))
    shown = np.rint((images + 1) * 127.5).astype(np.uint8)
    return Responses(captions, shown, vanilla, central, float(theta))


def _norms(images: np.ndarray, kernel: np.ndarray, theta: float) -> np.ndarray:
    """Norms [N, S, S] over the output channels; the border, padded with zeros, is 0."""
    found = np.asarray(jax.jit(ops.cdc)(images, kernel, theta))
    norms = np.linalg.norm(found, axis=-1)
    norms[:, [0, -1]] = norms[:, :, [0, -1]] = 0
    return norms
