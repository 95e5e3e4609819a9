"""``nasfas explain``: class activation maps and magnified motion of a file."""

import pathlib
from collections.abc import Sequence
from typing import Any

from nasfas_jax.commands import predict, recording, settings
from nasfas_jax.commands.settings import Path
from nasfas_jax.errors import renaming
from nasfas_jax.workflows import explain as workflow
from nasfas_jax.workflows.model import Model
from nasfas_jax.workflows.predict import Prediction


def run(
    *,
    model: Path | None = None,
    workdir: Path = settings.WORKDIR,
    network: str | None = None,
    input: Path | None = None,
    output: Path | None = None,
    face_model: Path | None = None,
    layers: str | None = None,
    toward: str = "live",
    clips: str | int = workflow.CLIPS,
    factor: str | float = workflow.FACTOR,
    band: str | Sequence[float] = workflow.BAND,
) -> None:
    """Draws class activation maps and magnified motion of ``input`` into ``output``.

    ``<name>_layers.png`` shows faces with the class activation map of each layer and the
    predicted map. For a video, ``<name>_motion.png`` and ``<name>_motion.mp4`` show its
    magnified motion.

    Raises:
      InputError: as `Model.explain`, no ``input``, or no model.
    """
    path = predict.input_file(input)
    scorer = predict.model_of(model, workdir, network)
    flags = ("layers", "toward", "clips", "factor", "band")
    numbers: dict[str, Any] = {
        "clips": int(clips) if str(clips).isdigit() else clips,
        "factor": _number(factor),
        "band": [_number(end) for end in band.split(",")]
        if isinstance(band, str)
        else band,
    }
    with renaming({name: f"--{name}" for name in flags}):
        explanation = scorer.explain(
            path,
            detector=settings.detector(face_model),
            layers=layers.split(",") if layers else None,
            toward=toward,
            **numbers,
        )
    given = output or ("explain" if model else pathlib.Path(workdir) / "explain")
    folder = settings.make_folder(given, "--output")
    stem = recording.stem_of(folder, path.name)
    explanation.picture().save(f"{stem}_layers.png")
    written = [f"{stem.name}_layers.png"]
    if explanation.motion is not None:
        explanation.motion.picture().save(f"{stem}_motion.png")
        explanation.motion.save(f"{stem}_motion.mp4")
        written += [f"{stem.name}_motion.png", f"{stem.name}_motion.mp4"]
    _print_result(path, scorer, explanation.prediction)
    for name, maps in explanation.cams.items():
        print(f"  {name}: {' x '.join(map(str, maps.shape[1:]))}")
    print(f"wrote {', '.join(written)} in {folder}")


def _number(text: str | float) -> str | float:
    """A number; the text itself if it is none, which the workflow refuses."""
    try:
        return float(text)
    except ValueError:
        return text


def _print_result(path: pathlib.Path, scorer: Model, prediction: Prediction) -> None:
    """Prints score, verdict and, where nothing moves in the clips, a caveat."""
    count = len(prediction.scores)
    print(f"{path.name}: mean score {prediction.score:.4f} over {count} clips")
    print(predict.verdict_text(prediction.verdict, scorer))
    print(predict.caveat(int(prediction.still.sum()), count, scorer), end="")
