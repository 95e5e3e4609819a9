"""The datasets that can be prepared, one file each."""

from nasfas_jax.data.datasets import (
    own_data,
    synthetic,
)
from nasfas_jax.data.datasets.base import Dataset, VideoSource

REGISTRY: dict[str, Dataset] = {
    module.DATASET.name: module.DATASET
    for module in (
        own_data,
        synthetic,
    )
}

__all__ = ["REGISTRY", "Dataset", "VideoSource"]
