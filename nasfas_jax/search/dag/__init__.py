"""Search spaces of cells with two inputs and four nodes (DARTS, PC-DARTS)."""

from nasfas_jax.search.dag.operations import NAMES
from nasfas_jax.search.dag.space import DagSpace

__all__ = ["NAMES", "DagSpace"]
