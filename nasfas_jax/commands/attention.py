"""Class activation maps of RFMeta's networks on a few test faces (figure 6)."""

from collections.abc import Mapping

import jax
import numpy as np
import optax

from nasfas_jax.data.loading import pipeline, prepared
from nasfas_jax.report import meta_figures
from nasfas_jax.report.picture import Picture
from nasfas_jax.workflows import registry
from nasfas_jax.workflows.data import domains
from nasfas_jax.workflows.model import Model


def picture(
    models: Mapping[str, Model], data: prepared.Prepared, target: str
) -> Picture:
    """One live face and one of each attack type of the tested domain, for each model.

    Args:
      models: models of `registry.FEATURE_METHODS`, by name, with equal views.
      data: prepared data.
      target: domain held out; '' for the test split of all domains.
    """
    _, targets = domains(data, target)
    split = data.splits["test"]
    rows = split.rows(targets)
    kinds, first = np.unique(split.table["attack_type"][rows], return_index=True)
    order = np.argsort(kinds != "live", kind="stable")
    chosen = rows[first[order]]
    view = next(iter(models.values())).view
    loaded = split.load(chosen, ("static", *view.columns))
    loaded["label"] = split.table["label"][chosen]
    images = pipeline.to_batch(loaded, view)["image"]
    maps = [_attention(model, images) for model in models.values()]
    shown = [
        meta_figures.AttentionRow(
            str(kinds[order[i]]), loaded["static"][i], [one[i] for one in maps]
        )
        for i in range(len(chosen))
    ]
    return meta_figures.attention_maps(shown, list(models))


def _attention(model: Model, images: np.ndarray) -> np.ndarray:
    method = registry.make_method(model.network, optax.identity())
    attend = jax.jit(method.nets.attention)
    return np.asarray(attend(model.params, model.batch_stats, images))
