"""The cells that PC-DARTS found on CIFAR-10 and ImageNet (Xu et al., ICLR 2020).

NAS-FAS retrains them for face anti-spoofing, as they are and with central differences
(Table 2): average pooling becomes CDP and dilated convolutions become CDC, the exchange by
which its baseline space of central differences differs from the vanilla one.
"""

from nasfas_jax.search.baseline.space import BaselineSpace
from nasfas_jax.search.dag import structure
from nasfas_jax.search.genotype import Genotype, Link

#: For each node two edges: operation and the feature that it starts from.
CELLS = {
    "cifar": {
        "normal": (
            *(("sep_conv_3", 1), ("skip", 0)),
            *(("sep_conv_3", 0), ("dil_conv_3", 1)),
            *(("sep_conv_5", 0), ("sep_conv_3", 1)),
            *(("avg_pool", 0), ("dil_conv_3", 1)),
        ),
        "reduction": (
            *(("sep_conv_5", 1), ("max_pool", 0)),
            *(("sep_conv_5", 1), ("sep_conv_5", 2)),
            *(("sep_conv_3", 0), ("sep_conv_3", 3)),
            *(("sep_conv_3", 1), ("sep_conv_3", 2)),
        ),
    },
    "imagenet": {
        "normal": (
            *(("skip", 1), ("sep_conv_3", 0)),
            *(("sep_conv_3", 0), ("skip", 1)),
            *(("sep_conv_3", 1), ("sep_conv_3", 3)),
            *(("sep_conv_3", 1), ("dil_conv_5", 4)),
        ),
        "reduction": (
            *(("sep_conv_3", 0), ("skip", 1)),
            *(("dil_conv_5", 2), ("max_pool", 1)),
            *(("sep_conv_3", 2), ("sep_conv_3", 1)),
            *(("sep_conv_5", 0), ("sep_conv_3", 3)),
        ),
    },
}
#: Operations that take the place of others in the networks with CDC and CDP.
CENTRAL = {"avg_pool": "cdp", "dil_conv_3": "cdc", "dil_conv_5": "cdc"}


def genotype(task: str, *, central: bool = False) -> Genotype:
    """The architecture found on a task, in the network of the baseline space.

    Args:
      task: 'cifar' or 'imagenet'.
      central: whether CDC and CDP take the place of other operations, see `CENTRAL`.

    >>> genotype("imagenet", central=True).cells[0][-1]
    Link(start=4, end=5, operation='cdc')
    """
    cells = []
    for kind in structure.KINDS:
        links = []
        for i, (name, start) in enumerate(CELLS[task][kind]):
            operation = CENTRAL.get(name, name) if central else name
            end = structure.INPUTS + i // structure.KEPT
            links.append(Link(start, end, operation))
        cells.append(tuple(links))
    space = BaselineSpace(operation_space="cd" if central else "pc_darts")
    return Genotype(space.for_retraining(), tuple(cells))


#: The four networks of NAS-FAS Table 2 by name.
GENOTYPES = {
    f"pc_darts_{task}{suffix}": genotype(task, central=bool(suffix))
    for task in CELLS
    for suffix in ("", "_cd")
}
