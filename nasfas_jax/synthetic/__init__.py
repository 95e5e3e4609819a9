"""A synthetic face anti-spoofing set of real video files with true annotations.

A *live* video shows a procedural head with known geometry that turns, blinks, speaks and
smiles in a lit room, with a pulse in the color of its skin. A spoof is an attack with the
face of the same person, one of SiW-M's thirteen types (`ATTACKS`):

- a photo or a video of the attacker's camera, *printed* (`printing`: ink gamut, halftone
  screens, dot gain, banding; paper flat, bent, folded, or cut with the attacker's eyes behind
  the holes; an identity card; a photo of a photo) or *replayed* (`display`: sub-pixels that
  alias with the sensor, flicker, a reflecting glass; a projection on a wall; a photo animated
  by warps), moved by hand as a sheet;
- a *mask* or a mannequin (`disguise.WORN`): rigid or flexible, glossy, matt or transparent;
- *makeup* (`disguise.PAINTED`): pigments on a living head;
- *partial* attacks: joke eyes, paper glasses, printed pieces glued on.

All videos use the same last camera and the same encoder, and face boxes have one motion
distribution, so that only the pictures contain the class; `probes` measures that. Four
domains (`dom_o`, `dom_c`, `dom_i`, `dom_m`) differ in camera, light, room, resolution and
container, and in the equipment of their attackers. No person is in two domains or splits.

On disk::

    root/plan.json                                 the settings, written first
    root/<domain>/<split>/<subject>/<video>.avi    or .mp4, by domain
    root/<domain>/<split>/<subject>/<video>.json   identity, label, boxes, eyes
    root/<domain>/<split>/<subject>/<video>.npz    depth, contour, depth_box
    root/index.json                                all videos, written last

`read_annotation(video)` returns the annotation of a video. Its maps are [T, D, D] over the
square `depth_box[t]` (x, y, width, height in pixels): cell (row i, column j) starts at pixel
x + j * width / D, y + i * height / D. Outside of `depth_box` a map is 0; resample it for
another box.
"""

from nasfas_jax.synthetic.dataset import (
    FORMAT,
    Annotation,
    read_annotation,
    read_index,
    write_videos,
)
from nasfas_jax.synthetic.domains import DOMAINS
from nasfas_jax.synthetic.encode import write_clip
from nasfas_jax.synthetic.render import render
from nasfas_jax.synthetic.specs import ATTACKS, BY_MACRO_TYPE, SPLITS, VideoSpec, plan
from nasfas_jax.synthetic.stage import Clip

__all__ = [
    "ATTACKS",
    "BY_MACRO_TYPE",
    "DOMAINS",
    "FORMAT",
    "SPLITS",
    "Annotation",
    "Clip",
    "VideoSpec",
    "plan",
    "read_annotation",
    "read_index",
    "render",
    "write_clip",
    "write_videos",
]
