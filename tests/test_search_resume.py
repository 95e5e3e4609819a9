"""A killed and resumed search, by every method."""

from typing import Any

import jax
import numpy as np
import pytest

import nasfas_jax as nf
from nasfas_jax.runtime import loop
from nasfas_jax.workflows import searchers

CHAINS = {"stem_channels": 2, "channels": 4, "head_channels": 2, "map_size": 4}


METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "Meta-NAS": ("meta_nas", {"alphas_from": 1, "arch_order": "first"}),
    "Meta-NAS by descent": (
        "meta_nas",
        {"optimizer": "sgd", "weight_order": "first", "arch_order": "first"},
    ),
    "DARTS": ("darts", {"arch_order": "exact", "by": "macro_type"}),
    "Auto-FAS": ("darts", {**searchers.AUTO_FAS, "arch_order": "first"}),
    "NAS, sampled": (
        "darts",
        {
            "arch_order": "first",
            "by": "half",
            "sample_temperature": 0.5,
            "shared_alphas": True,
        },
    ),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_killed_search_gives_the_same_genotype(data, name, tmp_path, monkeypatch):
    """Killed within the first, second or last of three steps, in turn; bit for bit."""
    method, settings = METHODS[name]
    last = 1 + list(METHODS).index(name) % 3
    space = nf.spaces.get("nas_fas", pool="max", partial=2, **CHAINS)
    write = loop.MetricsLog.write

    def killed(log, step, metrics):
        if step == last:
            raise KeyboardInterrupt
        write(log, step, metrics)

    def search(folder):
        return nf.search_architecture(
            data,
            space,
            method=method,
            target="dom_m",
            steps=3,
            batch_size=2,
            log_every=1,
            save_every=1,
            folder=tmp_path / folder,
            **settings,
        )

    whole = search("whole")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop.MetricsLog, "write", killed)
        search("killed")
    resumed = search("killed")
    assert resumed.genotype == whole.genotype
    jax.tree.map(np.testing.assert_array_equal, resumed.alphas, whole.alphas)
    losses = [[line["loss"] for line in one.metrics] for one in (whole, resumed)]
    assert losses[0] == losses[1] and len(losses[0]) == 3
