"""Where RFMeta's nets look (figure 6): class activation maps of a few test faces."""

from collections.abc import Sequence

import numpy as np

from nasfas_jax.commands import train
from nasfas_jax.commands.run import Run
from nasfas_jax.data.loading import pipeline
from nasfas_jax.report import meta_figures
from nasfas_jax.report.picture import Picture


def picture(run: Run, methods: Sequence[str]) -> Picture:
    """One live face and one of each attack type of the tested domain, for each method."""
    data = run.open_data()
    _, targets = run.domains(data)
    part = data.splits["test"]
    rows = part.rows(targets)
    kinds, first = np.unique(part.table["attack_type"][rows], return_index=True)
    order = np.argsort(kinds != "live", kind="stable")
    chosen = rows[first[order]]
    view = pipeline.View(**run.view)
    records = part.load(chosen, ("static", *view.columns))
    records["label"] = part.table["label"][chosen]
    images = pipeline.to_batch(records, **run.view)["image"]
    maps = [train.load_attention(run, name)(images) for name in methods]
    shown = [
        meta_figures.AttentionRow(
            str(kinds[order[i]]), records["static"][i], [one[i] for one in maps]
        )
        for i in range(len(chosen))
    ]
    return meta_figures.attention_maps(shown, methods)
