"""Settings of the smallest synthetic sets that tests render."""

from nasfas_jax import synthetic

TINY = {
    "subjects_per_domain": (1, 0, 0),
    "live_videos": 1,
    "frames": 3,
    "face_size": 40,
}


def specs_of(attack_type, **settings):
    """The videos of one attack type in `TINY`, with other settings replaced."""
    specs = synthetic.plan(**{**TINY, **settings})
    return [spec for spec in specs if spec.attack_type == attack_type]
