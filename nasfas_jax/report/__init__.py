"""Figures and the HTML report."""

from nasfas_jax.report import ablation, cells, figures, meta_figures, page

__all__ = ["ablation", "cells", "figures", "meta_figures", "page"]
