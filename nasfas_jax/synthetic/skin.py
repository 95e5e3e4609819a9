"""Living skin: pigments, relief and oily film over the face, as textures.

Sources of the values: melanin and hemoglobin vary independently over a face (Tsumura et al.,
"Image-based skin color and texture analysis/synthesis", SIGGRAPH 2003); relief of pores and
fine lines is 20 to 50 micrometers deep (Lagarde et al., Skin Research and Technology 2001);
the reflection of the film follows a rough lobe of slope 0.3 to 0.4 with the Fresnel
reflectance 0.028 of an index of 1.4, strongest on forehead and nose (Weyrich et al.,
"Analysis of human faces using a measurement-based skin reflectance model", SIGGRAPH 2006);
light leaves the skin 1 to 2 mm (red), about 0.6 mm (green) and 0.4 mm (blue) from where it
entered (d'Eon and Luebke, GPU Gems 3, chapter 14).
"""

from __future__ import annotations

import numpy as np

from nasfas_jax.synthetic.fields import Array, Chart, bump, fractal, pair, step
from nasfas_jax.synthetic.identity import Identity, skin_color

MILLIMETER = 1 / 70  # in head units
FRESNEL = 0.028  # reflectance of the film at normal incidence
SHINE = 16  # exponent of the broad lobe, slope about 0.35
SCATTER = (1.7 * MILLIMETER, 0.6 * MILLIMETER, 0.4 * MILLIMETER)  # by color


def pigments(
    who: Identity, chart: Chart, rng: np.random.Generator, lips: Array
) -> tuple[Array, Array]:
    """Melanin and blood [H, W] of the skin, in the units of `skin_color`.

    Args:
      who: the person.
      chart: grid of the texture.
      rng: generator of the person.
      lips: coverage of the lips [H, W].
    """
    x, y, density = chart.x, chart.y, chart.density
    base = who.eye_y + who.nose_length
    mottle = fractal(rng, chart.shape, 0.4 * density, 4)
    grain = fractal(rng, chart.shape, 0.05 * density, 2)
    flush = 0.45 * pair(x, y, 0.55, 0.5, 0.25, 0.22)
    flush = flush + 0.4 * bump(x, y, 0, base - 0.05, 0.17, 0.14)
    flush = flush + 0.2 * bump(x, y, 0, who.chin - 0.15, 0.2, 0.12)
    flush = flush + 0.35 * pair(x, y, 0.52 * who.nose_width + 0.05, base, 0.07, 0.1)
    blood = who.blood * (1 + 0.22 * mottle + 0.08 * grain)
    blood = blood + flush * (0.75 + 0.25 * mottle)
    blood = blood + 0.3 * pair(x, y, who.eye_x, who.eye_y, 0.24, 0.11)
    made_up = who.feminine > 0.6 and who.seed % 3 == 0
    folds = fractal(rng, chart.shape, (0.2 * density, 0.025 * density), 2)
    blood = blood + lips * ((1.8 if made_up else 1.15) + 0.12 * folds)
    brown = fractal(rng, chart.shape, 0.55 * density, 4)
    melanin = who.melanin * (1 + 0.06 * brown) + 0.012 * brown + 0.006 * grain
    # Thin skin below the eyes and on the lids shows blood and more melanin.
    melanin = melanin + 0.09 * pair(
        x, y, who.eye_x - 0.05, who.eye_y + 0.17, 0.17, 0.06
    )
    melanin = melanin + 0.10 * pair(x, y, who.eye_x, who.eye_y - 0.08, 0.2, 0.07)
    melanin = melanin + 0.05 * bump(x, y, 0, -0.75, 0.6, 0.3)  # sun on the forehead
    melanin = melanin + 0.05 * lips + _spots(who, chart, rng)
    return melanin.astype(np.float32), np.maximum(blood, 0.02).astype(np.float32)


def _spots(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """Additional melanin [H, W] of freckles, spots of age, and moles."""
    x, y = chart.x, chart.y
    zone = bump(x, y, 0, 0.35, 0.65, 0.4)
    amount = who.freckles + 0.25 * max(0.0, who.age - 0.5)
    noise = fractal(rng, chart.shape, 0.05 * chart.density, 1)
    spots = amount * 0.35 * step(noise, 1.5, 2.1) * zone
    for _ in range(int(rng.integers(0, 5))):
        at = rng.uniform([-0.7, -0.7], [0.7, 1.3])
        size = rng.uniform(0.01, 0.022)
        spots = spots + 0.35 * bump(x, y, at[0], at[1], size, size)
    return spots


def relief(who: Identity, chart: Chart, rng: np.random.Generator) -> Array:
    """Height [H, W] of pores and fine lines, in head units: 20 to 50 micrometers.

    Pores are hollows, denser on nose and cheeks; lines cross at two directions. Relief
    finer than two texels of the chart averages out and is left out.
    """
    x, y, density = chart.x, chart.y, chart.density
    zone = 0.5 + bump(x, y, 0, 0.4, 0.35, 0.3) + 0.7 * pair(x, y, 0.5, 0.45, 0.25, 0.25)
    pores = fractal(rng, chart.shape, max(2.0, 0.022 * density), 1)
    pores = -np.maximum(pores - 0.6, 0) * zone
    cells = max(2.0, 0.012 * density)
    lines = fractal(rng, chart.shape, (cells, 5 * cells), 2)
    lines = lines + fractal(rng, chart.shape, (3 * cells, 1.2 * cells), 2)
    depth = (0.03 + 0.02 * who.age) * MILLIMETER
    return (depth * (pores + 0.45 * lines)).astype(np.float32)


def film(who: Identity, chart: Chart, rng: np.random.Generator, lips: Array) -> Array:
    """Strength [H, W] of the specular lobe: Fresnel reflectance times cover by the film."""
    x, y = chart.x, chart.y
    zone = bump(x, y, 0, -0.6, 0.5, 0.25) + 1.2 * bump(x, y, 0, 0.45, 0.13, 0.32)
    zone = zone + 0.7 * pair(x, y, 0.52, 0.32, 0.22, 0.16)
    zone = zone + 0.5 * bump(x, y, 0, who.chin - 0.18, 0.18, 0.1) + 1.3 * lips
    patchy = np.exp(0.3 * fractal(rng, chart.shape, 0.12 * chart.density, 3))
    oily = 0.4 + 0.9 * (who.seed % 7) / 6
    return (FRESNEL * (0.5 + oily * zone) * patchy).astype(np.float32)


def albedo_of(melanin: Array, blood: Array, height: Array) -> Array:
    """Albedo [H, W, 3] of pigments below a relief, whose pores keep light."""
    albedo = skin_color(melanin, blood)
    shade = np.clip(1 + height * np.float32(1.2 / MILLIMETER), 0.85, 1.05)
    return albedo * shade[..., None]
