"""The Auto-FAS search space."""

from nasfas_jax.search.auto_fas.space import AutoFASSpace

__all__ = ["AutoFASSpace"]
