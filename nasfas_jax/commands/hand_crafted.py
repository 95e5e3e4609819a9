"""Training and loading hand-crafted features with an SVM, as `train` does networks."""

import importlib
import importlib.util
import pathlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from nasfas_jax.commands.run import Run
from nasfas_jax.data.loading import prepared
from nasfas_jax.errors import InputError
from nasfas_jax.files import whole, write_json
from nasfas_jax.workflows.registry import HAND_CRAFTED

NAMES = HAND_CRAFTED
MODEL = "model.joblib"


def train(run: Run, name: str, data: prepared.Prepared, folder: pathlib.Path) -> None:
    """Fits on every static face of the source domains' training clips.

    ``summary.json`` counts the numbers of the support vectors as parameters, and a
    multiply-add for each of them; what the features cost is not in it.
    """
    methods, joblib = _libraries()
    model = methods.HandCrafted(name)
    sources, _ = run.domains(data)
    split = data.splits["train"]
    rows = split.rows(sources)
    began = time.monotonic()
    faces = split.load(rows, ("static",))["static"]
    model = model.fit(faces, split.table["label"][rows])
    seconds = time.monotonic() - began
    with whole(folder / MODEL) as part:
        joblib.dump(model, part)
    vectors = model.classifier[-1].support_vectors_.size
    cost = {"parameters": vectors, "macs": vectors}
    summary = {**cost, "seconds": seconds, "wall_seconds": seconds}
    write_json(folder / "summary.json", summary)
    print(f"trained {name}: {len(rows)} faces, {seconds:.0f} s, {folder}")


def load(run: Run, name: str) -> Callable[[np.ndarray], np.ndarray]:
    """Images [B, S, S, C] as `pipeline` gives them to scores, as maps [B, 1, 1].

    Raises:
      InputError: nothing fitted in this workdir.
    """
    _, joblib = _libraries()
    path = run.workdir / "train" / name / MODEL
    if not path.exists():
        raise InputError(
            f"There is no {path}. Fit it first: nasfas train --network={name} with this "
            "--workdir."
        )
    model = joblib.load(path)

    def predict(image: np.ndarray) -> np.ndarray:
        pixels = np.rint((image[..., :3] + 1) * 127.5).astype(np.uint8)
        return model.score(pixels)[:, None, None]

    return predict


def _libraries() -> tuple[Any, Any]:
    """The methods' module and joblib, which not everyone has, or how to install them."""
    if importlib.util.find_spec("skimage") is None:
        raise InputError(
            "Hand-crafted features need scikit-image and scikit-learn: "
            "pip install -e '.[baselines]'."
        )
    names = ("nasfas_jax.hand_crafted", "joblib")
    methods, joblib = (importlib.import_module(name) for name in names)
    return methods, joblib
