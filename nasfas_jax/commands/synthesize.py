"""``nasfas synthesize``: a synthetic dataset on disk in a real one's layout."""

from nasfas_jax.commands.run import Run
from nasfas_jax.errors import InputError
from nasfas_jax.runtime import Progress
from nasfas_jax.synthetic import standins


def run(run: Run) -> None:
    """Writes a stand-in of ``--layout`` to ``--output``.

    If it is not given, to ``standins/LAYOUT`` in ``--workdir`` or in the current folder.
    """
    if run.layout is None:
        raise InputError(
            f"--layout is missing: one of {', '.join(standins.LAYOUTS)}, the dataset "
            "whose tree is to be written."
        )
    settings = run.config.standin
    few = settings.subjects or None
    total = len(standins.plan(run.layout, subjects=few, empty=settings.empty))
    folder = run.output_folder("standins", run.layout)
    with Progress("synthesize", total) as progress:
        standins.write(
            run.layout,
            folder,
            subjects=few,
            frames=settings.frames,
            face_size=settings.face_size,
            distinct=settings.distinct or None,
            seed=run.config.seed,
            empty=settings.empty,
            progress=lambda done, _: progress(done),
        )
    print(
        f"{total} synthetic videos in the layout of {run.layout} in {folder}; go on "
        f"with: nasfas prepare --config=configs/protocol.py:small --dataset={run.layout} "
        f"--manual_dir={folder} --workdir=runs/{run.layout}"
    )
