"""The trained model as one artifact: a folder that needs no config to be used.

The folder holds ``model.json`` (everything but the arrays, and the SHA-256 checksums of
all files), ``weights.safetensors`` and ``README.md``, a model card, and the file of the face
detector if it is YuNet. Loading executes nothing that a file holds.
"""

import contextlib
import dataclasses
import functools
import json
import math
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import flax
import jax
import jax.numpy as jnp
import jaxlib.version
import numpy as np
import optax

from nasfas_jax import __version__, files, limits, nets, storage, tables
from nasfas_jax.data.loading import views
from nasfas_jax.data.loading.pipeline import View
from nasfas_jax.data.loading.provenance import Provenance
from nasfas_jax.data.preparation import faces
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError
from nasfas_jax.workflows import (
    explain,
    export,
    model_card,
    model_files,
    predict,
    registry,
    watch,
)


def installed_versions() -> dict[str, str]:
    """Versions of the packages that decide what training gives, by their names."""
    return {
        "nasfas_jax": __version__,
        "jax": jax.__version__,
        "jaxlib": jaxlib.version.__version__,
        "flax": flax.__version__,
        "optax": optax.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


SOURCES = limits.Kind(
    str | os.PathLike | np.ndarray, "a path, or a NumPy array of clips of face crops"
)


@dataclasses.dataclass(frozen=True)
class Threshold:
    """A threshold and where it comes from; a score of ``value`` or more means live.

    Attributes:
      value: the threshold.
      rule: name of the rule that chose it, see `evaluation.thresholds.find`.
      domains: domains of the videos that it was chosen on.
      split: their split.
      videos: number of these videos.

    Raises:
      InputError: a value that is not finite.
    """

    value: float
    rule: str
    domains: list[str]
    split: str
    videos: int

    def __post_init__(self):
        if not math.isfinite(self.value):
            raise InputError(
                f"expected a finite number, got {self.value}.", field="threshold"
            )
        limits.require(videos=(self.videos, limits.COUNT))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A trained network with all that its use needs.

    Attributes:
      network: description of the network or method, as `registry.describe` makes it.
      params: parameters, a pytree of arrays.
      batch_stats: running averages of BatchNorm, a pytree of arrays.
      recipe: how videos become records.
      view: what the network sees of the records.
      learned: the training data.
      settings: training settings, JSON values by their names.
      steps: number of training steps; 0 for hand-crafted features.
      threshold: threshold of the verdicts; None before an evaluation.
      results: error rates as `evaluation.Result.columns` has them (JSON values), by the
        name of the protocol or of the target domain.
      versions: versions of the packages that trained it.
      searched: training data of the search that found the architecture; None without
        a search.
      face_model: content of YuNet's file, if it found the faces of the training data;
        saved with the model.
    """

    network: dict[str, Any]
    params: Any
    batch_stats: Any
    recipe: Recipe
    view: View
    learned: Provenance
    settings: dict[str, Any]
    steps: int
    threshold: Threshold | None = None
    results: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=installed_versions)
    searched: Provenance | None = None
    face_model: bytes | None = None

    def __post_init__(self):
        fitted = "features" in self.network
        counts = limits.COUNT_OR_NONE if fitted else limits.COUNT
        limits.require(steps=(self.steps, counts))

    @property
    def name(self) -> str:
        """Name of the network or method."""
        return registry.name_of(self.network)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape [S, S, C] of one input image, or [K, S, S, C] of one clip of frames."""
        return self.view.input_shape(self.recipe)

    @property
    def parameters(self) -> int:
        """Number of parameters, without MetaReg's task copies and regularizer."""
        return registry.parameters(self.params)

    def maps(self, images: np.ndarray) -> np.ndarray:
        """Predicted maps [N, h, w] of inputs [N, ..., S, S, C] as the view shows them.

        Each N is compiled once.

        Raises:
          InputError: images of another shape, or maps that are not finite, with the
            unstable filters of EulerNet.
        """
        limits.require(images=(images, limits.Kind(np.ndarray | jax.Array, "an array")))
        if images.shape[1:] != self.image_shape:
            raise InputError(
                f"expected [N, {', '.join(map(str, self.image_shape))}] as the"
                f" model was trained on, got {list(images.shape)}.",
                field="images",
            )
        network = _predictor(model_files.canonical(self.network))
        maps = np.asarray(network(self.params, self.batch_stats, images))
        nets.require_finite(maps, self.params)
        return maps

    def score(self, maps: np.ndarray) -> np.ndarray:
        """Scores [N] of predicted maps [N, h, w]; a higher score means live."""
        return np.asarray(registry.scorer(self.network)(maps))

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Scores [N] of images as in `maps`; a higher score means live."""
        return self.score(self.maps(images))

    def preprocess(self, frames: np.ndarray) -> np.ndarray:
        """The network's input [..., S, S, C] from face crops; see `views.preprocess`."""
        return views.preprocess(frames, self.recipe, self.view)

    def predict(
        self,
        source: str | os.PathLike | np.ndarray,
        *,
        detector: faces.Detector | None = None,
        clips: int = predict.CLIPS,
    ) -> predict.Prediction:
        """Scores a video, a picture, or clips of face crops.

        Args:
          source: path of a video, of a picture or of a folder with the frames of a video
            as pictures, in the order of the numbers in their names; or clips as in
            `preprocess`.
          detector: finds the faces in a file. If None, the detector that found those of
            the training data: Haar, or YuNet with the file in the model.
          clips: number of clips of a file, evenly spaced.

        Raises:
          InputError: as `predict.predict_file` and `predict.predict_clips`, or the
            detector of the training data is another one and has to be given.
        """
        limits.require(
            source=(source, SOURCES),
            detector=(detector, faces.DETECTORS),
            clips=(clips, limits.COUNT),
        )
        threshold = None if self.threshold is None else self.threshold.value
        if isinstance(source, np.ndarray):
            return predict.predict_clips(
                source,
                self.maps,
                self.recipe,
                self.view,
                score=self.score,
                threshold=threshold,
            )
        return predict.predict_file(
            source,
            self.maps,
            self.recipe,
            self.view,
            detector or self.default_detector(),
            score=self.score,
            clips=clips,
            threshold=threshold,
        )

    def default_detector(self) -> faces.Detector:
        """The face detector of the training data: Haar, or YuNet with the model's file.

        Raises:
          InputError: it is another one, or its file is not in the model.
        """
        found = faces.of_name(self.recipe.detector, self.face_model)
        if found is None:
            raise InputError(
                "expected faces.YuNet(FILE) or another one, since the model's training data"
                f" were prepared with {self.recipe.detector!r}, which needs its file, got"
                " none.",
                field="detector",
            )
        return found

    #: Class activation maps and magnified motion, `explain.explain` of this model.
    explain = explain.explain

    #: Faces of a video, camera or stream, `watch.watch` of this model.
    watch = watch.watch

    #: The model as a program for another runtime, `export.export` of this model.
    export = export.export

    def with_evaluation(
        self, threshold: Threshold, results: Mapping[str, Mapping[str, Any]]
    ) -> "Model":
        """This model with a threshold, and with results added to those that it has."""
        added = {name: dict(columns) for name, columns in results.items()}
        return dataclasses.replace(
            self, threshold=threshold, results={**self.results, **added}
        )

    def save(self, folder: str | os.PathLike) -> None:
        """Writes the model; one that is there already is replaced.

        All files are complete before the first of them replaces an older one, and other
        files in the folder stay. A folder in which only some were replaced, as after a
        power cut, is refused by `load`.

        Args:
          folder: path, or address as gs://BUCKET/model.

        Raises:
          InputError: weights that do not fit the network, values that JSON does not
            have, a folder with files of these names that are not a model's, or a folder
            that cannot be written.
        """
        limits.require(folder=(folder, limits.PATH))
        weights = model_files.named(
            {"params": self.params, "batch_stats": self.batch_stats}
        )
        if problem := model_files.misfit(self._expected(), weights):
            raise InputError(f"The weights do not fit the network: {problem}.")
        values = {name: getattr(self, name) for name in FIELDS}
        fields = {
            name: dataclasses.asdict(value)
            if isinstance(value, Recipe | View | Provenance | Threshold)
            else value
            for name, value in values.items()
        }
        card = model_card.render(self)
        face_model = {} if self.face_model is None else {faces.FILE: self.face_model}
        with contextlib.ExitStack() as stack:
            place = pathlib.Path(folder)
            if files.address(folder):
                place = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            model_files.write(place, fields, weights, card, face_model)
            if files.address(folder):
                storage.upload(place, folder, last=[model_files.DESCRIPTION])

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "Model":
        """Reads a model that `save` wrote.

        Args:
          folder: path, or address as gs://BUCKET/model.

        Raises:
          InputError: no such folder, no model, one of a newer format or of another
            version of the preparation, unknown fields, a missing or changed file, or
            weights that do not fit the network.
        """
        limits.require(folder=(folder, limits.PATH))
        folder = storage.local(folder)
        content, weights, others = model_files.read(folder, FIELDS, (faces.FILE,))
        model, expected = _without_weights(folder, content)
        if problem := model_files.misfit(expected, weights):
            raise InputError(
                f"The weights in {folder} do not fit the network in"
                f" {model_files.DESCRIPTION}: {problem}."
            )
        # JAX would round the float64 arrays of hand-crafted features.
        array = np.asarray if "features" in model.network else jnp.asarray
        trees = jax.tree_util.tree_map_with_path(
            lambda path, _: array(weights[model_files.leaf_name(path)]), expected
        )
        return dataclasses.replace(model, **trees, face_model=others.get(faces.FILE))

    def _expected(self) -> dict[str, Any]:
        """Shapes and types of ``params`` and ``batch_stats`` by the description."""
        method = _method(model_files.canonical(self.network))
        if "features" in self.network:
            return {"params": method.weights(), "batch_stats": {}}
        image = jax.ShapeDtypeStruct((1, *self.image_shape), jnp.float32)
        state = jax.eval_shape(method.init, jax.random.key(0), image)
        return {"params": state.params, "batch_stats": state.batch_stats}

    def __repr__(self) -> str:
        return f"<Model {model_card.summary(self)}>"

    def _repr_html_(self) -> str:
        """HTML for notebooks: size, training, threshold and results."""
        return tables.as_html(model_card.table(self))


@functools.lru_cache(maxsize=16)
def _method(network: str) -> Any:
    """The method of a description, as JSON, with an optimizer that changes nothing.

    Raises:
      InputError: the description fits no network.
    """
    description = json.loads(network)
    try:
        return registry.make_method(description, optax.identity())
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"expected a description by registry.describe, got {network} ({error!r}).",
            field="network",
        ) from None


@functools.lru_cache(maxsize=16)
def _predictor(network: str) -> Callable:
    """Compiled (params, batch_stats, images) to maps; shared by equal descriptions."""
    predict = _method(network).predict
    return predict if "features" in json.loads(network) else jax.jit(predict)


def _optional(kind: type, content: dict | None) -> Any:
    return None if content is None else kind(**content)


#: Fields of `Model` that ``model.json`` holds.
FIELDS = tuple(
    field.name
    for field in dataclasses.fields(Model)
    if field.name not in ("params", "batch_stats", "face_model")
)


def _without_weights(
    folder: pathlib.Path, content: dict[str, Any]
) -> tuple[Model, dict[str, Any]]:
    """The model of ``model.json`` without its arrays, and their shapes and types."""
    try:
        content |= {
            "recipe": Recipe(**content["recipe"]),
            "view": View(**content["view"]),
            "learned": Provenance(**content["learned"]),
            "searched": _optional(Provenance, content["searched"]),
            "threshold": _optional(Threshold, content["threshold"]),
        }
        model = Model(params=None, batch_stats=None, **content)
        expected = model._expected()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder / model_files.DESCRIPTION} does not describe a model of this version of"
            f" nasfas_jax, {__version__} ({error})."
        ) from None
    if (version := Recipe().version) != model.recipe.version:
        raise InputError(
            f"The model in {folder} was trained on records of version"
            f" {model.recipe.version} of the preparation, and this version of nasfas_jax"
            f" makes version {version}: train it again."
        )
    return model, expected
