"""What an architecture is: search spaces, supernet, genotype."""

from nasfas_jax.search import genotype, spaces, supernet

__all__ = ["genotype", "spaces", "supernet"]
