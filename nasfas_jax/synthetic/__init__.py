"""A synthetic face anti-spoofing set of real video files with true annotations.

A procedural head with known geometry turns, blinks, speaks and smiles in a lit room
before a camera, and blood pulses in its skin: that is *live*. A spoof is what an attacker
would make of the same person, one of SiW-M's thirteen types (`ATTACKS`):

- a photo or a clip by the attacker's own camera, *printed* (ink gamut, halftone, paper
  flat, bent, or cut with his eyes behind the holes) or *replayed* (emitting sub-pixels
  that alias with the sensor, a glass that mirrors), moved by hand as a sheet;
- a *mask* or a mannequin (`disguise.WORN`): rigid or flexible, shining, dull or clear;
- *makeup* (`disguise.PAINTED`): pigments on a head that lives on;
- *partial* attacks: joke eyes, paper glasses, printed pieces glued on.

All pass the same last camera and the same encoder, and the face box goes its way by one
law, so that nothing but the pictures tells them apart; `probes` measures that. Four
domains (`dom_o`, `dom_c`, `dom_i`, `dom_m`) differ in camera, light, room, resolution and
container, and in what their attackers had. No person is in two domains or two splits.

On disk::

    root/plan.json                                 the settings, written first
    root/<domain>/<split>/<subject>/<video>.avi    or .mp4, by domain
    root/<domain>/<split>/<subject>/<video>.json   identity, label, boxes, eyes
    root/<domain>/<split>/<subject>/<video>.npz    depth, contour, depth_box
    root/index.json                                all videos, written last

`read_annotation(video)` returns all that is known of a video. Its maps are [T, D, D]
over the square `depth_box[t]` (x, y, width, height in pixels): cell (row i, column j)
covers the pixels from x + j * width / D and y + i * height / D on. To get a map over
another box, resample it; outside `depth_box` it is 0.
"""

from nasfas_jax.synthetic.dataset import (
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
