"""``nasfas robustness``: error rates under corruptions, and calibration."""

import csv
import io
import pathlib
from typing import Any

from nasfas_jax import evaluation, files
from nasfas_jax.commands import evaluate, settings
from nasfas_jax.commands.settings import Path
from nasfas_jax.workflows import calibrate, robustness
from nasfas_jax.workflows import train as training


def run(
    config: Any,
    *,
    workdir: Path = settings.WORKDIR,
    data_dir: Path | None = None,
    network: str | None = None,
    corruptions: str | None = None,
) -> None:
    """Corrupts the tested clips for ``network``, or for all of config.networks.

    ``robustness/<network>/`` has the rates as robustness.csv, their curves as
    robustness.svg, and the reliability diagram of the test videos as reliability.svg.

    Raises:
      InputError: a network that was not evaluated here, data without the frames of clips,
        or an unknown corruption.
    """
    names = corruptions.split(",") if corruptions else None
    data = settings.open_data(config, settings.data_folder(workdir, data_dir))
    target = settings.target(config)
    for name in settings.networks(config, network):
        evaluate.require_current(workdir, name, data, target)
        model = training.trained_model(pathlib.Path(workdir) / "train" / name)
        found = robustness.robustness(
            model,
            data,
            target=target,
            corruptions=names,
            batch_size=config.train.batch_size,
        )
        scores = pathlib.Path(workdir) / "evaluate" / name / "scores.csv"
        assert model.threshold is not None  # required by `robustness`
        calibrated = calibrate.calibrate(
            evaluation.read_scores(scores), model.threshold.value, name
        )
        folder = settings.make_folder(pathlib.Path(workdir) / "robustness" / name)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(found.table())
        files.write_text(folder / "robustness.csv", text.getvalue())
        found.picture().save(folder / "robustness.svg")
        calibrated.picture().save(folder / "reliability.svg")
        print(f"{name}:\n{found}\n{repr(calibrated)[1:-1]}")
        print(f"wrote robustness.csv, robustness.svg and reliability.svg in {folder}")
