"""Materials of masks, by their reflectance.

Fresnel reflectances follow from indices of refraction of manufacturers' tables: silicone
rubber 1.41, acrylic resin and PVC 1.49 to 1.54, latex 1.52, PET film 1.58 (both faces of a
film reflect), paper 1.5 (its rough surface leaves a weak, broad lobe; a coat of resin or
gelatin, also 1.5, closes that of photo paper). Scattering lengths: skin-like silicone is made
translucent with pigments all over its depth, so that all colors travel alike, unlike in skin,
whose blood absorbs green and blue (compare `skin.SCATTER`); paper and opaque plastics scatter
within their surface. Molded plastic has waves ("orange peel") of 8 micrometers, vacuum-formed
film of 20 and brushed latex of 30, about 4 mm long.
"""

from __future__ import annotations

import dataclasses

from nasfas_jax.synthetic.skin import MILLIMETER

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Material:
    """Optical properties of a material.

    Attributes:
      fresnel: reflectance at normal incidence, sampled between two values.
      shine: exponent of the specular lobe.
      scatter: deviation of the distance that light travels inside, equal for all colors,
        head units.
      rough: height of its surface's unevenness, head units.
      flat: share by which a uniform paint replaces the structure of skin.
    """

    fresnel: Range
    shine: int
    scatter: float
    rough: float
    flat: float = 0.8

    @property
    def polish(self) -> float:
        """Share of the surface that mirrors: 0 below an exponent of 24, 1 above 84."""
        return min(max(self.shine / 60 - 0.4, 0.0), 1.0)


LATEX = Material((0.030, 0.050), 24, 0.5 * MILLIMETER, 0.03 * MILLIMETER)
SILICONE = Material((0.040, 0.070), 20, 2.2 * MILLIMETER, 0.006 * MILLIMETER, 0.65)
RESIN = Material((0.035, 0.060), 40, 0.3 * MILLIMETER, 0.008 * MILLIMETER, 0.75)
PLASTIC = Material((0.045, 0.065), 90, 0.2 * MILLIMETER, 0.008 * MILLIMETER, 1.0)
FILM = Material((0.08, 0.12), 160, 0.0, 0.02 * MILLIMETER)
PAPER = Material((0.004, 0.014), 6, 0.15 * MILLIMETER, 0.03 * MILLIMETER)
PHOTO_PAPER = Material((0.03, 0.05), 60, 0.15 * MILLIMETER, 0.008 * MILLIMETER)
CERAMIC = Material((0.04, 0.05), 120, 0.3 * MILLIMETER, 0.0, 1.0)
