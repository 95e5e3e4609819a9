"""Trained models as programs for other runtimes."""

import dataclasses
import html
import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import optax

from nasfas_jax import extras, files, limits, tables
from nasfas_jax.data.preparation import faces
from nasfas_jax.errors import InputError
from nasfas_jax.ops import platform
from nasfas_jax.workflows import in_graph, registry, web_page

if TYPE_CHECKING:
    from nasfas_jax.workflows.model import Model

#: Formats, and the packages that write and read them, all of the extra ``export``.
FORMATS = {
    "onnx": ("onnx", "onnxruntime"),
    "stablehlo": ("flatbuffers",),
    "web": ("onnx", "onnxruntime"),
}

#: Function from face crops, uint8 [n, K, S, S, 3], to scores [n] and maps [n, h, w].
Runner = Callable[[np.ndarray], Sequence[np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Exported:
    """Exported program, which includes the preparation of face crops.

    Its input ``frames`` is uint8 [n, K, S, S, 3]: RGB face crops, the current frame last,
    for any n. Its outputs are ``score`` [n], higher for live, and ``map`` [n, h, w].

    Attributes:
      file: the program.
      format: a key of `FORMATS`.
      properties: what its use needs: K and S as ``frames`` and ``image_size``, ``interval``
        and ``margin`` of the recipe, the ``threshold`` (None if the model was not
        evaluated), name and versions; of 'onnx' also the number of ``convolutions``, and of
        the sums and products that were ``folded`` into them.
      run: the program on this machine.
    """

    file: pathlib.Path
    format: str
    properties: dict[str, Any]
    run: Runner

    def __repr__(self) -> str:
        size = self.file.stat().st_size
        return f"<Exported {self.file.name}: {self.properties['name']}, {size:,} bytes>"

    def _repr_html_(self) -> str:
        """HTML for notebooks: the summary and the properties."""
        rows = [["property", "value"]]
        rows += [[name, str(value)] for name, value in self.properties.items()]
        return f"<p>{html.escape(repr(self)[1:-1])}</p>{tables.as_html(rows)}"


def export(
    model: "Model",
    file: str | os.PathLike,
    *,
    format: str = "onnx",
    detector: faces.Detector | None = None,
) -> Exported:
    """Exports a model as a program that runs without nasfas_jax.

    The face is found and cropped before it (`faces.square`, `faces.crop`); everything
    after, from rank pooling to the score, is in the program. Central differences are folded
    into the kernels, and in ONNX BatchNorm, too: exact, up to rounding.

    Args:
      model: a trained network.
      file: the file that is written; for 'stablehlo', the properties are written beside
        it, as ``<file>.json``; for 'web', the folder.
      format: 'onnx' (operator set 18), 'stablehlo' (by `jax.export`, for CPU, CUDA and
        TPU in one file), or 'web' (a page that runs the ONNX program in the browser;
        ONNX Runtime is fetched from npm's registry).
      detector: of 'web' only: `faces.YuNet`, which finds the face. If None, the model's
        own one; if that is not YuNet, the page shows an oval in which to hold the face.

    Raises:
      InputError: an unknown format, hand-crafted features, a missing package, a file
        that cannot be written or fetched; for 'web', another detector, or none for a
        model of aligned faces.
    """
    limits.require(file=(file, limits.PATH), format=(format, limits.OneOf(FORMATS)))
    if "features" in model.network:
        raise InputError(
            f"expected a network, got the hand-crafted features {model.name!r}, which are"
            " no JAX program.",
            field="model",
        )
    extras.require("export", *FORMATS[format], field="format")
    file = pathlib.Path(file)
    if format == "web":
        return _export_web(model, file, detector)
    properties = _properties(model)
    write = _write_onnx if format == "onnx" else _write_stablehlo
    with platform.portable():
        write(file, _function(model), properties)
    return open_exported(file, format=format)


def _export_web(
    model: "Model", folder: pathlib.Path, detector: faces.Detector | None
) -> Exported:
    if detector is not None and not isinstance(detector, faces.YuNet):
        raise InputError(
            f"expected faces.YuNet(FILE) or None, got {detector!r}.", field="detector"
        )
    if detector is None and model.recipe.detector.startswith("yunet"):
        own = model.default_detector()
        detector = own if isinstance(own, faces.YuNet) else None
    if model.recipe.align and detector is None:
        raise InputError(
            "expected faces.YuNet(FILE) for a model of faces that are aligned by their"
            " eyes (recipe.align), got None.",
            field="detector",
        )
    runtime = web_page.runtime_files()
    folder.mkdir(parents=True, exist_ok=True)
    program = export(model, folder / web_page.PROGRAM)
    settings = program.properties | {
        "span": model.recipe.span,
        "input": model.view.input,
    }
    web_page.write(folder, settings, runtime, detector)
    return dataclasses.replace(program, format="web")


def _write_onnx(
    file: pathlib.Path, function: Callable[..., Any], properties: dict[str, Any]
) -> None:
    from onnx import helper

    from nasfas_jax.export import onnx_program

    shape = _input_shape(properties)
    found = onnx_program.from_function(
        function, shape, ("score", "map"), input="frames", dtype=np.uint8
    )
    counts = {"convolutions": found.convolutions, "folded": found.folded}
    texts = {k: json.dumps(v) for k, v in (properties | counts).items()}
    helper.set_model_props(found.model, texts)
    with files.whole(file) as part:
        part.write_bytes(found.model.SerializeToString())


def _write_stablehlo(
    file: pathlib.Path, function: Callable[..., Any], properties: dict[str, Any]
) -> None:
    from nasfas_jax.export import stablehlo

    program = stablehlo.from_function(function, _input_shape(properties), np.uint8)
    with files.whole(file) as part:
        part.write_bytes(program)
    files.write_json(_beside(file), properties)


def _input_shape(properties: dict[str, Any]) -> tuple[int, ...]:
    side = properties["image_size"]
    return (properties["frames"], side, side, 3)


def open_exported(file: str | os.PathLike, *, format: str | None = None) -> Exported:
    """Opens a program that `export` wrote.

    Args:
      file: the program.
      format: a key of `FORMATS`; by the file's suffix if None.

    Raises:
      InputError: no such file, an unknown format, a missing package, or another program.
    """
    limits.require(file=(file, limits.PATH))
    file = pathlib.Path(file)
    format = format or file.suffix.removeprefix(".")
    limits.require(format=(format, limits.OneOf(FORMATS)))
    if not file.is_file():
        raise InputError(f"There is no exported program {file}.")
    extras.require("export", *FORMATS[format], field="format")
    if format != "stablehlo":
        return Exported(file, format, *_open_onnx(file))
    from nasfas_jax.export import stablehlo

    properties = json.loads(_beside(file).read_text())
    run = stablehlo.run(file.read_bytes())
    return Exported(file, format, properties, lambda x: list(map(np.asarray, run(x))))


def _open_onnx(file: pathlib.Path) -> tuple[dict[str, Any], Runner]:
    import onnx
    import onnxruntime
    from google.protobuf.message import DecodeError

    content = file.read_bytes()
    try:
        found = {p.key: p.value for p in onnx.load_from_string(content).metadata_props}
    except DecodeError as error:
        raise InputError(f"{file} is no ONNX model: {error}.") from None
    if "name" not in found:
        raise InputError(f"{file} is no model that nasfas_jax exported.")
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(frames: np.ndarray) -> list[np.ndarray]:
        results = session.run(["score", "map"], {"frames": frames})
        return [np.asarray(result) for result in results]

    return {name: json.loads(text) for name, text in found.items()}, run


def _beside(file: pathlib.Path) -> pathlib.Path:
    return file.with_name(f"{file.name}.json")


def _properties(model: "Model") -> dict[str, Any]:
    recipe = model.recipe
    return {
        "name": model.name,
        "frames": in_graph.frames_read(recipe, model.view),
        "image_size": recipe.image_size,
        "interval": recipe.interval,
        "margin": recipe.margin,
        "align": recipe.align,
        "detector": recipe.detector,
        "threshold": None if model.threshold is None else model.threshold.value,
        "versions": model.versions,
    }


def _function(model: "Model") -> Callable[..., Any]:
    """Function from face crops, uint8 [n, K, S, S, 3], to scores and maps."""
    method = registry.make_method(model.network, optax.identity())
    score = registry.scorer(model.network)

    def function(frames: jax.Array) -> tuple[jax.Array, jax.Array]:
        inputs = in_graph.network_input(frames, model.recipe, model.view)
        maps = method.predict(model.params, model.batch_stats, inputs)
        return score(maps), maps

    return function
