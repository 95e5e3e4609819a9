"""Rendering of one video: a live clip, or an attack filmed by the same camera."""

from __future__ import annotations

import numpy as np

from nasfas_jax.synthetic import disguise, live, scene
from nasfas_jax.synthetic.head import build_head
from nasfas_jax.synthetic.recapture import render_recapture
from nasfas_jax.synthetic.specs import VideoSpec
from nasfas_jax.synthetic.stage import (
    Clip,
    density,
    finish,
    person,
    set_stage,
    sit,
    variant_of,
)


def render(spec: VideoSpec) -> Clip:
    """Renders a video; a pure function of `spec`."""
    if spec.attack_type in ("print", "replay"):
        return render_recapture(spec)
    return render_head(spec)


def render_head(spec: VideoSpec) -> Clip:
    """A live clip, or a clip of a head with a mask, paint or paper."""
    stage = set_stage(spec)
    rng = np.random.default_rng([spec.seed, 3])
    head = bare = build_head(person(spec), density(float(stage.path.heights.mean())))
    behavior = scene.behave(rng, stage.times)
    if not spec.label:
        variant = variant_of(spec)
        head, behavior = disguise.put_on(variant, head, behavior, rng)
    sitter = sit(
        head,
        stage.domain,
        stage.size,
        stage.path,
        behavior,
        rng,
        bare,
    )
    seen = []

    def optical(frame: int):
        radiance, *found = sitter.film(frame)
        seen.append(found)
        return stage.camera.lens(radiance)

    def depth(frame: int, region, mask):
        grid, hits = seen[frame]
        return live.depth_map(hits, grid, region, mask)

    pictures = stage.film(optical, spec.frames)
    return finish(spec, stage, pictures, sitter.points, behavior.open_, depth)
