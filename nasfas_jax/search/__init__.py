"""Architectures: search spaces, their supernets, networks and genotypes."""

from nasfas_jax.search import auto_fas, baseline, fas, genotype, space, spaces, trials

__all__ = ["auto_fas", "baseline", "fas", "genotype", "space", "spaces", "trials"]
