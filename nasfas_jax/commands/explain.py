"""``nasfas explain``: where a network looks, and the motion in a video."""

import pathlib

from nasfas_jax.commands import predict, settings
from nasfas_jax.commands.settings import Path
from nasfas_jax.data.preparation import faces


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
) -> None:
    """Explains the scores of ``input``; writes into ``output``.

    ``<name>_layers.png`` shows faces with class activation maps at each depth and the
    predicted map; of a video, ``<name>_motion.png`` and ``<name>_motion.mp4`` show the
    magnified motion.
    """
    path = predict.input_file(input)
    scorer = predict.model_of(model, workdir, network)
    explanation = scorer.explain(
        path,
        detector=faces.YuNet(str(face_model)) if face_model else None,
        layers=layers.split(",") if layers else None,
        toward=toward,
    )
    given = output or ("explain" if model else pathlib.Path(workdir) / "explain")
    folder = settings.make_folder(given, "--output")
    stem = predict.stem_of(folder, path)
    explanation.picture().save(f"{stem}_layers.png")
    written = [f"{stem.name}_layers.png"]
    if explanation.motion is not None:
        explanation.motion.picture().save(f"{stem}_motion.png")
        explanation.motion.save(f"{stem}_motion.mp4")
        written += [f"{stem.name}_motion.png", f"{stem.name}_motion.mp4"]
    found = explanation.prediction
    print(f"{path.name}: mean score {found.score:.4f} over {len(found.scores)} clips")
    for name, maps in explanation.cams.items():
        print(f"  {name}: {' x '.join(map(str, maps.shape[1:]))}")
    print(f"wrote {', '.join(written)} in {folder}")
