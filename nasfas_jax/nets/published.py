"""Parameters and costs that the papers print for known networks, and how they count."""

from collections.abc import Mapping
from typing import Any, NamedTuple

UNITS = {"G": 1e9, "M": 1e6, "": 1.0}


class Figure(NamedTuple):
    """A row of a paper's table.

    Attributes:
      table: paper and table.
      row: name of the row.
      network: name of the network in this project, or of the space whose architectures
        stand for it; '' for one that it cannot build.
      parameters: printed number of parameters, with its unit.
      flops: printed cost, with its unit; '' for none.
      side: side of the images of the table, in pixels.
      options: options of the network that the row has.
      remark: why the row has no network.
    """

    table: str
    row: str
    network: str
    parameters: str
    flops: str
    side: int
    options: Mapping[str, Any] = {}
    remark: str = ""


_SEARCHED = "the architecture is drawn without its widths"
#: The rows, in the order of the papers. Those of DTN and of NAS-FAS's networks name none.
FIGURES = (
    Figure("NAS-FAS Table 1", "DepthNet", "depthnet", "2.25 M", "", 256),
    Figure("NAS-FAS Table 8", "MobileNetV1", "mobilenet_v1", "3.20 M", "1.48 G", 256),
    Figure("NAS-FAS Table 8", "MobileNetV2", "mobilenet_v2", "2.21 M", "816.27 M", 256),
    Figure("NAS-FAS Table 8", "MobileNetV3", "mobilenet_v3", "4.21 M", "582.95 M", 256),
    Figure(
        "NAS-FAS Table 8", "ShuffleNetV2", "shufflenet_v2", "2.27 M", "394.18 M", 256
    ),
    Figure("NAS-FAS Table 8", "PNAS", "pnasnet", "3.63 M", "345.53 M", 256),
    *(
        Figure("NAS-FAS Table 8", row, "", parameters, flops, 256, remark=_SEARCHED)
        for row, parameters, flops in (
            ("NAS S-Van-CE", "0.71 M", "140.49 M"),
            ("NAS-Baseline", "2.57 M", "398.72 M"),
            ("NAS-Baseline w/ T(Mask)-Meta", "1.27 M", "212.34 M"),
        )
    ),
    Figure("NAS-FAS Table 8", "ResNet50", "resnet50", "23.52 M", "4.08 G", 256),
    Figure(
        *("NAS-FAS Table 8", "DepthNet", "depthnet", "2.22 M", "93.14 G", 256),
        options={"middle": 192},
    ),
    Figure(
        *("NAS-FAS Table 8", "DTN", "", "1.33 M", "26.41 G", 256),
        remark="neither the authors' code nor `tree` has these figures",
    ),
    *(
        Figure("NAS-FAS Table 8", row, "", parameters, flops, 256, remark=_SEARCHED)
        for row, parameters, flops in (
            ("NAS-FAS", "2.94 M", "52.67 G"),
            ("NAS-FAS w/ T(Mask)-Meta", "2.58 M", "53.96 G"),
        )
    ),
    Figure("Auto-FAS Table 4", "ResNet-18", "resnet18", "11.69 M", "0.48 G", 108),
    Figure(
        *(
            "Auto-FAS Table 4",
            "Auxiliary (Depth)",
            "auxiliary",
            "2.20 M",
            "8.50 G",
            108,
        ),
        options={"map_size": 14},
    ),
    Figure("Auto-FAS Table 4", "Auto-FAS", "auto_fas", "0.27 M", "0.53 G", 108),
)


def matching(printed: str, counts: Mapping[str, float]) -> str:
    """The conventions by which counts give a printed figure, in words.

    Args:
      printed: digits and a unit, 'M' or 'G'.
      counts: numbers by the words of their convention.

    Returns:
      The conventions whose count rounds to the figure; if none does, those whose count is
      cut to it; otherwise 'no match'.

    >>> matching("2.27 M", {"1,000 classes": 2_278_604, "2 classes": 1_255_654})
    '1,000 classes, digits cut'
    """
    digits, _, unit = printed.partition(" ")
    places = len(digits.partition(".")[2])
    for cut, words in ((False, ""), (True, ", digits cut")):
        found = [
            name
            for name, count in counts.items()
            if _written(count / UNITS[unit], places, cut) == digits
        ]
        if found:
            return " or ".join(found) + words
    return "no match"


def _written(number: float, places: int, cut: bool) -> str:
    """A number with so many digits after the point, rounded, or with the others cut."""
    if cut:
        number = int(number * 10**places) / 10**places
    return f"{number:.{places}f}"
