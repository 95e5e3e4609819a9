"""Curves of the cost and accuracy of meta-gradient modes, and of the cost of steps."""

from collections.abc import Sequence

from nasfas_jax.benchmarks.instrument import Panel
from nasfas_jax.benchmarks.search import Grown
from nasfas_jax.report import meta_figures
from nasfas_jax.report.picture import Picture


def growth(found: Sequence[Grown]) -> Picture:
    """Seconds a step and to compile it against cells, candidates and channels."""
    drawn = []
    for along in dict.fromkeys(one.along for one in found):
        several = [one for one in found if one.along == along]
        points = [("step", one.value, one.seconds) for one in several]
        points += [("compile", one.value, one.compile) for one in several]
        drawn.append(meta_figures.Curves("seconds", along, points, y_scale="log"))
    return meta_figures.mode_curves(drawn)


def of_panel(panel: Panel) -> list[meta_figures.Curves]:
    """Curves by mode: cosine against the rate, cost against inner steps and batch size.

    An axis along which only one value was measured is left out.
    """
    first = panel.costs[0]
    base = (first.batch_size, first.steps)
    drawn = []
    for by in dict.fromkeys(a.by for a in panel.agreements):
        points = [
            (a.mode, a.rate, a.cosine)
            for a in panel.agreements
            if (a.batch_size, a.steps) == base and a.by == by
        ]
        title = f"cosine to the exact derivative by {by}"
        drawn.append(meta_figures.Curves(title, "inner learning rate", points, "log"))
    for x, name, other in (
        ("steps", "inner steps k", "batch_size"),
        ("batch_size", "batch size", "steps"),
    ):
        line = [c for c in panel.costs if getattr(c, other) == getattr(first, other)]
        if len({getattr(c, x) for c in line}) < 2:
            continue
        for y, title, unit in (
            ("temporary_bytes", "temporary MB", 1e6),
            ("seconds", "seconds a step", 1.0),
        ):
            points = [(c.mode, getattr(c, x), getattr(c, y) / unit) for c in line]
            drawn.append(meta_figures.Curves(title, name, points))
    return drawn
