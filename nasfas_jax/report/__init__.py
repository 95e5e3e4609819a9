"""Figures and the HTML report."""

from nasfas_jax.report import cells, figures, meta_figures, page

__all__ = ["cells", "figures", "meta_figures", "page"]
