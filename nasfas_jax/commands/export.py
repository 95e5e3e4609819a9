"""``nasfas export``: exports a model to other runtimes and compares the results."""

import dataclasses
import pathlib
import shlex

from nasfas_jax import limits
from nasfas_jax.commands import predict, settings, tables
from nasfas_jax.commands.settings import Path
from nasfas_jax.files import write_json
from nasfas_jax.workflows import export, parity


def run(
    *,
    model: Path | None = None,
    workdir: Path = settings.WORKDIR,
    network: str | None = None,
    format: str = "onnx",
    input: str | None = None,
    output: Path | None = None,
    face_model: Path | None = None,
) -> None:
    """Writes ``<network>.<format>``, and ``parity.json`` if there is an ``input``.

    'web' is a folder with a page and its ``model.onnx``.

    ``input`` is a list of videos and pictures, joined by commas, on which the program is
    compared with the model.

    Raises:
      InputError: no model, another format, no such input, or as `workflows.export` and
        `workflows.parity`.
    """
    limits.require(format=(format, limits.OneOf(export.FORMATS)))
    given = [predict.input_file(path) for path in predict.inputs_of(input)]
    source = predict.model_of(model, workdir, network)
    default = "export" if model else pathlib.Path(workdir) / "export"
    folder = settings.make_folder(output or default, "--output")
    detector = settings.detector(face_model)
    if format == "web":
        exported = source.export(folder, format=format, detector=detector)
    else:
        exported = source.export(folder / f"{source.name}.{format}", format=format)
    print(f"wrote {exported.file}, {exported.file.stat().st_size:,} bytes")
    if format == "web":
        quoted = shlex.quote(str(folder))
        print(f"serve the page: python3 -m http.server --bind 127.0.0.1 -d {quoted}")
    if not given:
        print(
            "not compared with the model: --input=VIDEO,VIDEO names clips for a comparison"
        )
        return
    found = parity.parity(source, exported, given, detector=detector)
    tables.show(f"{source.name} as {format} beside the model", found.table())
    content = dataclasses.asdict(dataclasses.replace(found, exported=None))
    content["exported"] = exported.file.name
    write_json(folder / "parity.json", content)
    print(f"wrote {folder / 'parity.json'}")
