"""``nasfas maps``: maps and layers of several networks on hard videos.

NAS-FAS figure 14, EulerNet figures 8 and 9.
"""

import pathlib
from typing import Any

from nasfas_jax.commands import evaluate, settings, sweep
from nasfas_jax.commands.settings import Path
from nasfas_jax.data.loading import prepared
from nasfas_jax.errors import renaming
from nasfas_jax.workflows import compare_maps
from nasfas_jax.workflows import evaluate as workflow
from nasfas_jax.workflows import train as training

#: Names of the pictures.
MAPS, LAYERS = "maps.png", "layers.png"


def run(
    config: Any,
    *,
    workdir: Path = settings.WORKDIR,
    data_dir: Path | None = None,
    network: str | None = None,
    rows: str | None = None,
    attack_types: str | None = None,
    output: Path | None = None,
) -> None:
    """Draws ``maps.png`` and ``layers.png`` of several networks.

    ``maps.png`` has face, target map, and the map and verdict of each network;
    ``layers.png`` the Grad-CAM maps of each network at each depth. The networks are
    ``network``, all of config.networks, or with ``rows`` those of a sweep at its first
    target and seed. They are evaluated again, at the thresholds that they have. The videos
    are the hardest of live and of each attack type: two each, and one in ``layers.png``.

    Hand-crafted features have maps and no layers.

    Raises:
      InputError: a network that was not evaluated here, a row that the sweep does not have,
        or an attack type that was not tested.
    """
    if rows:
        places = sweep.places(config, rows.split(","), workdir, data_dir)
    else:
        records = settings.data_folder(workdir, data_dir)
        places = {
            name: sweep.Place(config, name, pathlib.Path(workdir), records)
            for name in settings.networks(config, network)
        }
    first = next(iter(places.values()))
    data = settings.open_data(first.config, first.records)
    evaluated = {name: _evaluated(place, data) for name, place in places.items()}
    kinds = attack_types.split(",") if attack_types else None
    folder = settings.make_folder(output or pathlib.Path(workdir) / "maps", "--output")
    named = {"attack_types": "--attack_types", "evaluated": "--network"}
    with renaming(named):
        picture = compare_maps.compare_maps(evaluated, data, attack_types=kinds)
        picture.save(folder / MAPS)
        print(f"wrote {folder / MAPS}: {', '.join(evaluated)}")
        networks = {
            name: one
            for name, one in evaluated.items()
            if "features" not in one.model.network
        }
        if networks:
            picture = compare_maps.compare_layers(networks, data, attack_types=kinds)
            picture.save(folder / LAYERS)
            print(f"wrote {folder / LAYERS}: {', '.join(networks)}")


def _evaluated(place: sweep.Place, data: prepared.Prepared) -> workflow.Evaluated:
    """The evaluation of a network by its own threshold."""
    config, target = place.config, settings.target(place.config)
    evaluate.require_current(place.workdir, place.network, data, target)
    model = training.trained_model(place.workdir / "train" / place.network)
    assert model.threshold is not None  # of an evaluated model
    return workflow.evaluate(
        model,
        data,
        target=target,
        rule=model.threshold.rule,
        batch_size=config.train.batch_size,
        seed=config.seed,
        selected_on=config.selected_on,
    )
