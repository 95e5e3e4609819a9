"""What all commands share: the settings of a run and where its files lie."""

import dataclasses
import pathlib
from typing import Any

from nasfas_jax import evaluation, files
from nasfas_jax.data.loading import prepared
from nasfas_jax.data.preparation import recipe
from nasfas_jax.workflows import data as workflow


@dataclasses.dataclass(frozen=True)
class Run:
    """A run: its config, its folder, and what flags say instead of the config.

    The folder holds ``videos/`` (the synthetic set), ``data/``, ``search/``,
    ``train/<network>/``, ``evaluate/<network>/``, ``predict/`` and ``report.html``.
    """

    config: Any  # an ml_collections.ConfigDict; a checker knows none of its fields
    workdir: pathlib.Path
    workdir_given: bool = True  # False: `workdir` is the default of the command line
    dataset: str | None = None
    protocol: str | None = None
    layout: str | None = None
    manual_dir: str | None = None
    data_dir: str | None = None
    network: str | None = None
    genotype: str | None = None
    input: str | None = None
    output: str | None = None
    rule: str | None = None
    oracle: str | None = None
    landmark_model: str | None = None
    face_model: str | None = None
    beam: str | None = None

    def __post_init__(self):
        with self.config.unlocked():
            if self.dataset is not None and "data" in self.config:
                self.config.data.dataset = self.dataset
            if self.protocol is not None:
                self.config.protocol = self.protocol

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
            interval=data.get("interval", 1),
            keep_frames=data.get("keep_frames", False),
        )

    @property
    def view(self) -> dict[str, Any]:
        """What batches show of the records: keyword arguments of ``pipeline``."""
        train = self.config.train
        return {**train.view.to_dict(), "map_size": train.map_size}

    @property
    def genotype_file(self) -> pathlib.Path:
        """The found architecture."""
        return pathlib.Path(self.genotype or self.workdir / "search" / "genotype.json")

    @property
    def networks(self) -> list[str]:
        """Networks that the command is about."""
        return [self.network] if self.network else list(self.config.networks)

    @property
    def rating(self) -> dict[str, Any]:
        """How scores become error rates: arguments of ``evaluation.evaluate``."""
        rule, oracle = self.rule or "eer", self.oracle.split(",") if self.oracle else []
        evaluation.thresholds.find(rule)  # a wrong name shows before the work
        evaluation.compat.check(oracle)
        return {"rule": rule, "oracle": oracle}

    @property
    def config_text(self) -> str:
        """The resolved config as JSON."""
        return self.config.to_json_best_effort(indent=2) + "\n"

    def folder(self, *parts: str) -> pathlib.Path:
        """A folder of the run, made where it is missing.

        Raises:
          InputError: it cannot be made.
        """
        folder = self.workdir.joinpath(*parts)
        with files.writing(folder, "Give another --workdir."):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def output_folder(self, *parts: str, of_run: bool = False) -> pathlib.Path:
        """Folder for the files of a command that may be called without a run.

        ``--output``; without it `parts` below the workdir if that is given or the files
        are `of_run`, else `parts` below the current folder. Created if it is missing.

        Raises:
          InputError: it cannot be created.
        """
        if not self.output and (of_run or self.workdir_given):
            return self.folder(*parts)
        folder = pathlib.Path(self.output or pathlib.Path(*parts))
        with files.writing(folder, "Give another --output."):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def target_domain(self) -> str:
        """The domain held out; '' where a protocol says what is tested."""
        return "" if self.config.get("protocol") else self.config.target_domain

    def open_data(self) -> prepared.Prepared:
        """The prepared data, in the splits of config.protocol if there is one."""
        names = ("image_size", "frames", "interval", "peak")
        expected = {name: getattr(self.recipe, name) for name in names}
        protocol = self.config.get("protocol") or ""
        return workflow.open_data(self.prepared_dir, protocol, **expected)

    def domains(self, data: prepared.Prepared) -> tuple[list[str], list[str]]:
        """Source domains, to learn and take the threshold from, and the tested ones."""
        return workflow.domains(data, self.target_domain)

    def tested(self, data: prepared.Prepared) -> workflow.Tested:
        """What the run tests."""
        return workflow.tested(data, self.target_domain)
