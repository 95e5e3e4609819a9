"""``nasfas maps``: target and predicted maps of hard videos, as NAS-FAS figure 14."""

import pathlib
from typing import Any

from nasfas_jax.commands import evaluate, settings
from nasfas_jax.commands.settings import Path
from nasfas_jax.errors import renaming
from nasfas_jax.workflows import evaluate as workflow
from nasfas_jax.workflows import train as training
from nasfas_jax.workflows.compare_maps import compare_maps

#: Name of the picture.
FILE = "maps.png"


def run(
    config: Any,
    *,
    workdir: Path = settings.WORKDIR,
    data_dir: Path | None = None,
    network: str | None = None,
    attack_types: str | None = None,
    output: Path | None = None,
) -> None:
    """Draws ``maps.png``: face, target map, and the map and verdict of each network.

    The networks, ``network`` or all of config.networks, are evaluated again, at the
    thresholds that they have. The videos are the hardest of live and of each attack type.

    Raises:
      InputError: a network that was not evaluated here, networks of different target
        maps, or an attack type that was not tested.
    """
    data = settings.open_data(config, settings.data_folder(workdir, data_dir))
    target = settings.target(config)
    names = settings.networks(config, network)
    evaluated = []
    for name in names:
        evaluate.require_current(workdir, name, data, target)
        model = training.trained_model(pathlib.Path(workdir) / "train" / name)
        assert model.threshold is not None  # of an evaluated model
        evaluated.append(
            workflow.evaluate(
                model,
                data,
                target=target,
                rule=model.threshold.rule,
                batch_size=config.train.batch_size,
                seed=config.seed,
                selected_on=config.selected_on,
            )
        )
    with renaming({"attack_types": "--attack_types", "evaluated": "--network"}):
        picture = compare_maps(
            evaluated,
            data,
            attack_types=attack_types.split(",") if attack_types else None,
        )
    folder = settings.make_folder(output or pathlib.Path(workdir) / "maps", "--output")
    picture.save(folder / FILE)
    print(f"wrote {folder / FILE}: {', '.join(names)}")
