"""The datasets that can be prepared, a module for each."""

from nasfas_jax.data.datasets import (
    casia_mfsd,
    casia_surf_3dmask,
    hkbu_mars,
    msu_mfsd,
    oulu_npu,
    own_data,
    replay_attack,
    siw,
    siw_m,
    synthetic,
    three_dmad,
)
from nasfas_jax.data.datasets.base import Dataset, VideoSource
from nasfas_jax.errors import InputError

REGISTRY: dict[str, Dataset] = {
    module.DATASET.name: module.DATASET
    for module in (
        own_data,
        synthetic,
        oulu_npu,
        siw,
        casia_mfsd,
        replay_attack,
        msu_mfsd,
        siw_m,
        three_dmad,
        hkbu_mars,
        casia_surf_3dmask,
    )
}

__all__ = ["REGISTRY", "Dataset", "VideoSource", "get"]


def get(name: str) -> Dataset:
    """The dataset of this name.

    Raises:
      InputError: an unknown name; the message lists all names.
    """
    if name not in REGISTRY:
        raise InputError(
            f"There is no dataset {name!r}; choose one of {', '.join(REGISTRY)}"
            " (--dataset on the command line)."
        )
    return REGISTRY[name]
