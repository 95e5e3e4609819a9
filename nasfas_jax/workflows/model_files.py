"""The folder of a model: its format, checksums, and what is refused when it is read."""

import contextlib
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy

from nasfas_jax import __version__, files, limits
from nasfas_jax.errors import InputError, some

FORMAT = "nasfas_jax.model"
#: Raised when a reader of the old format cannot read the new one.
FORMAT_VERSION = 1
DESCRIPTION, WEIGHTS, CARD = "model.json", "weights.safetensors", "README.md"


def write(
    folder: pathlib.Path,
    fields: Mapping[str, Any],
    weights: Mapping,
    card: str,
    others: Mapping[str, bytes],
) -> None:
    """Writes the files of a model; all are complete before one replaces an older one.

    Args:
      folder: created where it is missing; its other files stay.
      fields: JSON values for ``model.json``.
      weights: arrays by their names.
      card: text of the model card.
      others: contents of other files, by their names.

    Raises:
      InputError: values that JSON does not have, a folder with files of these names that
        are not a model's, or one that cannot be written.
    """
    arrays = {name: np.asarray(array, order="C") for name, array in weights.items()}
    contents = {WEIGHTS: safetensors.numpy.save(arrays), CARD: card.encode(), **others}
    contents[DESCRIPTION] = _description(fields, contents).encode()
    with files.writing(folder):
        _require_own(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            # Entered first, renamed last.
            for name in (DESCRIPTION, WEIGHTS, CARD, *others):
                part = stack.enter_context(files.whole(folder / name))
                part.write_bytes(contents[name])


def read(
    folder: pathlib.Path, fields: Sequence[str], others: Sequence[str]
) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, bytes]]:
    """The named fields of ``model.json``, the arrays, and other files, by their names.

    Args:
      folder: the folder.
      fields: names of the fields.
      others: names of files that a model may have.

    Raises:
      InputError: no such folder, no model, one of a newer format, other fields, or a
        missing or changed file.
    """
    with files.writing(folder):
        content = _read_description(folder, fields)
        digests = content.pop("files")
        digests = digests if isinstance(digests, dict) else {}
        there = [name for name in others if name in digests]
        data = _read_files(folder, digests, (WEIGHTS, CARD, *there))
    try:
        arrays = safetensors.numpy.load(data[WEIGHTS])
        return content, arrays, {name: data[name] for name in there}
    except safetensors.SafetensorError as error:
        raise InputError(
            f"{folder / WEIGHTS} is no safetensors file ({error})."
        ) from None


def leaf_name(path: Any) -> str:
    """Name of an array by its path in a pytree, as ``params.conv.kernel``."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def named(tree: Any) -> dict[str, Any]:
    """The arrays of a pytree by their `leaf_name`."""
    return {leaf_name(path): leaf for path, leaf in jax.tree.leaves_with_path(tree)}


def misfit(expected: Any, weights: Mapping[str, Any]) -> str:
    """The first array that differs in name, shape or type from the expected, in words."""
    shapes, found = (
        {k: f"{v.dtype}{list(v.shape)}" for k, v in arrays.items()}
        for arrays in (named(expected), weights)
    )
    for name in {**shapes, **found}:
        if shapes.get(name) != found.get(name):
            return (
                f"{name} is {found.get(name, 'absent')}, where"
                f" {shapes.get(name, 'nothing')} is expected"
            )
    return ""


def canonical(content: Any) -> str:
    """The one JSON text of a value.

    Raises:
      InputError: a value that JSON does not have.
    """
    try:
        return json.dumps(content, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            "model: expected JSON values (finite numbers, texts, lists, dicts) beside"
            f" the arrays, got {error}."
        ) from None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _description(fields: Mapping[str, Any], contents: Mapping[str, bytes]) -> str:
    """The text of ``model.json``; ``sha256`` is of its other fields' `canonical`."""
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **fields,
        "files": {name: _sha256(data) for name, data in contents.items()},
    }
    content["sha256"] = _sha256(canonical(content).encode())
    return json.dumps(content, indent=2) + "\n"


def _read_json(folder: pathlib.Path) -> dict[str, Any] | None:
    """Content of ``model.json``; None if it is not a model's."""
    try:
        content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    known = isinstance(content, dict) and content.get("format") == FORMAT
    return content if known else None


def _read_description(folder: pathlib.Path, fields: Sequence[str]) -> dict[str, Any]:
    """The checked fields of ``model.json`` and ``files``, the checksums of the others."""
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}; expected a saved model there.")
    content = _read_json(folder)
    if content is None:
        raise InputError(
            f"{folder} is not a model: expected a whole {DESCRIPTION} of format"
            f" {FORMAT!r} in it, as Model.save writes it."
        )
    version = content.get("format_version")
    if version not in limits.Range(1, FORMAT_VERSION, whole=True):
        raise InputError(
            f"The model in {folder} has format version {version!r}, and this version of"
            f" nasfas_jax, {__version__}, reads up to {FORMAT_VERSION}: install a newer"
            " one."
        )
    digest = content.pop("sha256", None)
    if digest != _sha256(canonical(content).encode()):
        raise InputError(
            f"{folder / DESCRIPTION} was changed since it was written (its checksum"
            " differs): restore it from a copy, or save the model again."
        )
    del content["format"], content["format_version"]
    expected = {*fields, "files"}
    for phrase, names in (
        ("unknown fields", sorted(set(content) - expected)),
        ("no fields", sorted(expected - set(content))),
    ):
        if names:
            raise InputError(
                f"{folder / DESCRIPTION} has {phrase} {some(names)}: it was not written"
                " by Model.save of this format."
            )
    return content


def _read_files(
    folder: pathlib.Path, digests: Mapping[str, str], names: Sequence[str]
) -> dict[str, bytes]:
    """The contents of named files, which have these checksums."""
    contents = {}
    for name in names:
        path = folder / name
        problem = "is missing"
        if path.is_file():
            contents[name] = path.read_bytes()
            problem = "was cut or changed since it was written (its checksum differs)"
            if digests.get(name) == _sha256(contents[name]):
                continue
        raise InputError(
            f"{path} {problem}: restore it from a copy, or save the model again."
        )
    return contents


def interrupted(folder: pathlib.Path) -> bool:
    """Whether a process was killed while it wrote the model; ``model.json`` comes last."""
    return files.part_of(folder / DESCRIPTION).exists()


def _require_own(folder: pathlib.Path) -> None:
    """Refuses to overwrite files that are not a model's."""
    there = [n for n in (DESCRIPTION, WEIGHTS, CARD) if (folder / n).exists()]
    if there and not interrupted(folder) and _read_json(folder) is None:
        raise InputError(
            f"{folder} holds {', '.join(there)} but no model, and saving would replace"
            " them: choose another folder."
        )
