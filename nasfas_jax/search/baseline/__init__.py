"""The baseline search space (NAS-FAS sec. 4.2)."""

from nasfas_jax.search.baseline.space import BaselineSpace

__all__ = ["BaselineSpace"]
