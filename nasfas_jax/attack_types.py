"""Macro types of attack types, and groups of clips by macro type."""

from collections.abc import Iterable, Sequence

import numpy as np

from nasfas_jax.errors import InputError

#: Macro type of each attack type, one of the five of type-aware search (NAS-FAS sec. 5.1);
#: the thirteen attack types of SiW-M, then those of the other datasets.
MACRO_TYPES = {
    "replay": "replay",
    "print": "print",
    "half_mask": "mask",
    "silicone_mask": "mask",
    "transparent_mask": "mask",
    "paper_mask": "mask",
    "mannequin": "mask",
    "obfuscation": "makeup",
    "impersonation": "makeup",
    "cosmetic": "makeup",
    "funny_eye": "partial",
    "paper_glasses": "partial",
    "partial_paper": "partial",
    "warped_photo": "print",
    "cut_photo": "print",
    "video_replay": "replay",
    "digital_photo": "replay",
    "ipad_video": "replay",
    "iphone_video": "replay",
    "mask": "mask",
}
#: The thirteen attack types of SiW-M.
SIW_M_TYPES = tuple(MACRO_TYPES)[:13]


def macro_types(attack_types: Iterable[str]) -> list[str]:
    """The sorted, distinct macro types of attack types.

    >>> macro_types(["funny_eye", "print", "cut_photo"])
    ['partial', 'print']

    Raises:
      InputError: an attack type without macro type.
    """
    attack_types = sorted(set(attack_types))
    unknown = [name for name in attack_types if name not in MACRO_TYPES]
    if unknown:
        raise InputError(
            f"The attack types {', '.join(unknown)} have no macro type; those of"
            f" {', '.join(MACRO_TYPES)} are known. Name the attacks like these (the"
            " folders of own_data), or search by domain."
        )
    return sorted({MACRO_TYPES[name] for name in attack_types})


def groups(
    attack_type: np.ndarray, label: np.ndarray, *, unseen: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Groups of clips: the spoof clips of one macro type and all live clips.

    Args:
      attack_type: attack type of each clip, [n] texts.
      label: label of each clip [n], 1 for live and 0 for spoof.
      unseen: attack types whose macro types have no group.

    Returns:
      Indices [k] of clips by macro type, sorted by macro type.

    Raises:
      InputError: an attack type without macro type, or fewer than two groups.
    """
    live = label == 1
    kinds = attack_type[~live].tolist()
    left_out = macro_types(unseen)
    kept = [name for name in macro_types(kinds) if name not in left_out]
    if len(kept) < 2:
        raise InputError(
            "An episode by macro type needs two macro types or more, one as the query"
            f" and the others as the support; got {', '.join(kept) or 'none'} from the"
            f" attack types {', '.join(sorted(set(kinds))) or 'none'}, without"
            f" {', '.join(left_out) or 'nothing'}, which is tested and not learned."
            " Choose data or a protocol with more macro types, or search by domain."
        )
    macro = np.array([MACRO_TYPES.get(name, "") for name in attack_type.tolist()])
    return {name: np.flatnonzero(live | (~live & (macro == name))) for name in kept}
