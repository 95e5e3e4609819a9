"""The page that runs an exported program in the browser alone."""

import pathlib
import shutil
from typing import Any

from nasfas_jax import files, pages
from nasfas_jax.data.preparation import faces

#: File names of the program and of the face detector in the folder.
PROGRAM, DETECTOR = "model.onnx", "yunet.onnx"
#: ONNX Runtime for WebAssembly, and the files of it that the page loads.
RUNTIME = {
    "name": "onnxruntime-web",
    "version": "1.30.0",
    "sha512": "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8p"
    "ZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
}
RUNTIME_FILES = ("dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm")
PAGE_FILES = (
    "style.css",
    "view.js",
    "browser.js",
    "remote.js",
    "worker.js",
    "scorer.js",
    "yunet.js",
    "pixels.js",
)


def runtime_files() -> dict[str, bytes]:
    """Fetches the files of ONNX Runtime, by their names in the folder.

    Raises:
      InputError: they cannot be fetched, or are other ones.
    """
    from nasfas_jax.export import npm

    found = npm.fetch(npm.Package(**RUNTIME), RUNTIME_FILES)
    return {pathlib.PurePath(name).name: content for name, content in found.items()}


def write(
    folder: pathlib.Path,
    settings: dict[str, Any],
    runtime: dict[str, bytes],
    detector: faces.YuNet | None,
) -> None:
    """Writes the page beside the program.

    Args:
      folder: the folder, which has the program.
      settings: what the page needs of the model; the properties of the program.
      runtime: `runtime_files`.
      detector: finds the face; None for an oval in which the face is held.
    """
    for name in PAGE_FILES:
        shutil.copyfile(pages.FOLDER / name, folder / name)
    shutil.copyfile(pages.FOLDER / "browser.html", folder / "index.html")
    for name, content in runtime.items():
        with files.whole(folder / name) as part:
            part.write_bytes(content)
    if detector:
        from nasfas_jax.export import any_size

        with files.whole(folder / DETECTOR) as part:
            part.write_bytes(any_size.any_size(detector.content))
    found: dict[str, Any] = {"program": PROGRAM, "face_model": None}
    if detector:
        longest = detector.name.partition("@")[2] or faces.LONGEST_SIDE
        found = found | {"face_model": DETECTOR, "longest_side": int(longest)}
    files.write_json(folder / "settings.json", settings | found)
