"""The FAS search space (NAS-FAS sec. 4.3)."""

from nasfas_jax.search.fas.options import FASOptions
from nasfas_jax.search.fas.space import CDCN_PP, FASSpace

__all__ = ["CDCN_PP", "FASOptions", "FASSpace"]
