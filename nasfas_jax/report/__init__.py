"""Figures and the HTML report."""

from nasfas_jax.report import cells, figures, page

__all__ = ["cells", "figures", "page"]
