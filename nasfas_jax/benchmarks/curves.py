"""Curves of the cost and accuracy of meta-gradient modes."""

from nasfas_jax.benchmarks.instrument import Panel
from nasfas_jax.report import meta_figures


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
