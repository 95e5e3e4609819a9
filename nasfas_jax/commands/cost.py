"""``nasfas cost``: parameters, multiply-adds and latency beside the papers' figures."""

from nasfas_jax import limits
from nasfas_jax.commands import tables
from nasfas_jax.errors import renaming
from nasfas_jax.workflows import costs


def run(*, network: str | None = None, repeats: str | int = 0) -> None:
    """Prints the costs of networks, or of all, as Markdown.

    Args:
      network: names separated by commas, of networks or search spaces.
      repeats: timed predictions of each, for a column of latencies.

    Raises:
      InputError: an unknown network, or ``repeats`` is not a number.
    """
    number = int(repeats) if str(repeats).isdigit() else repeats
    limits.require(repeats=(number, limits.COUNT_OR_NONE))
    with renaming({"networks": "--network"}):
        found = costs.cost(network.split(",") if network else None, repeats=int(number))
    print(tables.markdown(found.table()), end="")
