"""Architectures: search spaces, their supernets, networks and genotypes."""

from nasfas_jax.search import fas, genotype, space, spaces

__all__ = ["fas", "genotype", "space", "spaces"]
