"""Fields of the schema of configs, and wrong values for them."""

import math
import pathlib

from nasfas_jax import limits, theta
from nasfas_jax.commands import schema
from nasfas_jax.search.dag import space as dag_space

ROOT = pathlib.Path(__file__).parents[1]


FIELDS = {
    f"{section}.{name}".lstrip("."): field
    for section, fields in schema.SCHEMA.items()
    for name, field in fields.items()
}


def wrong_values(allowed):
    """A value below, one above, wrong types and a misspelt name."""
    if isinstance(allowed, limits.Range):
        yield allowed.low if allowed.above else allowed.low - 1
        if math.isfinite(allowed.high):
            yield allowed.high + 1
        yield from ("3", None, True, math.nan, math.inf, -math.inf)
        if allowed.whole:
            yield allowed.low + 0.5
    elif isinstance(allowed, limits.OneOf):
        yield allowed.names[-1] + "x"
        yield from (3, None, True, ["x"])
    elif allowed is theta.WEIGHTS:
        yield from (1.5, True, [0.5], {"stem_0": [0.5, 2]})
    elif allowed is dag_space.STEM_CHANNELS:
        yield from (0, True, [2, 0], "3")
    elif isinstance(allowed, limits.OrNone) and isinstance(allowed.other, limits.Range):
        yield from (v for v in wrong_values(allowed.other) if v is not None)
    elif isinstance(allowed, limits.OrNone):
        yield from (3, True, "static", ["static", "static"])
    elif allowed is limits.FLAG:
        yield from ("yes", 1, 0, None)
    else:
        yield from (3, None, True)
