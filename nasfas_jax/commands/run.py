"""What all commands share: the settings of a run and where its files lie."""

import dataclasses
import json
import pathlib
from typing import Any

from nasfas_jax.data import pipeline, prepared, recipe
from nasfas_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Run:
    """A run: its config, its folder, and what flags say instead of the config.

    The folder holds ``config.json``, ``videos/`` (the synthetic set), ``data/``,
    ``search/``, ``train/<network>/``, ``evaluate/<network>/``, ``predict/`` and
    ``report.html``.
    """

    config: Any  # an ml_collections.ConfigDict; a checker knows none of its fields
    workdir: pathlib.Path
    dataset: str | None = None
    manual_dir: str | None = None
    data_dir: str | None = None
    network: str | None = None
    genotype: str | None = None
    input: str | None = None
    output: str | None = None
    landmark_model: str | None = None
    beam: str | None = None

    def __post_init__(self):
        if self.dataset is not None:
            with self.config.unlocked():
                self.config.data.dataset = self.dataset

    @property
    def prepared_dir(self) -> pathlib.Path:
        """Where the prepared data lie."""
        return pathlib.Path(self.data_dir or self.workdir / "data")

    @property
    def recipe(self) -> recipe.Recipe:
        """How videos become records."""
        data = self.config.data
        return recipe.Recipe(
            image_size=data.image_size,
            frames=data.frames,
            clips_per_video=data.clips_per_video,
            sampling=data.sampling,
            eval_sampling=data.eval_sampling,
            margin=data.margin,
            align=data.align,
            method=data.method,
            peak=data.peak,
        )

    @property
    def genotype_file(self) -> pathlib.Path:
        """The found architecture."""
        return pathlib.Path(self.genotype or self.workdir / "search" / "genotype.json")

    @property
    def networks(self) -> list[str]:
        """Networks that the command is about."""
        return [self.network] if self.network else list(self.config.networks)

    def folder(self, *parts: str) -> pathlib.Path:
        """A folder of the run, made where it is missing; the config is noted there."""
        folder = self.workdir.joinpath(*parts)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            text = self.config.to_json_best_effort(indent=2) + "\n"
            (self.workdir / "config.json").write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"The folder {folder} cannot be written ({error.strerror}). Give "
                "another --workdir."
            ) from None
        return folder

    def open_data(self) -> prepared.Prepared:
        """The prepared data."""
        data = self.config.data
        return pipeline.open_dataset(
            self.prepared_dir,
            image_size=data.image_size,
            frames=data.frames,
            peak=data.peak,
        )

    def domains(self, data: prepared.Prepared) -> tuple[list[str], list[str]]:
        """Source domains, to learn and take the threshold from, and the tested ones."""
        target = self.config.target_domain
        if not target:
            return data.domains, data.domains
        if target not in data.domains:
            raise InputError(
                f"config.target_domain is {target!r}, but the prepared data in "
                f"{self.prepared_dir} have the domains {data.domains}. Choose one of "
                "them, or '' to test within all of them."
            )
        return [domain for domain in data.domains if domain != target], [target]


def write_json(path: pathlib.Path, content: dict) -> None:
    """Writes ``content``, readable."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
