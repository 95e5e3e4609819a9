"""``nasfas cost``: parameters and multiply-adds of networks beside the papers' figures."""

from nasfas_jax.commands import tables
from nasfas_jax.errors import renaming
from nasfas_jax.workflows import costs


def run(*, network: str | None = None) -> None:
    """Prints the costs of ``network``, or of all networks, as Markdown.

    Raises:
      InputError: an unknown network.
    """
    with renaming({"networks": "--network"}):
        found = costs.cost([network] if network else None)
    print(tables.markdown(found.table()), end="")
