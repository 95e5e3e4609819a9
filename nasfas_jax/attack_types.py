"""Attack types by their macro types, and clips in groups of them."""

from collections.abc import Iterable, Sequence

import numpy as np

from nasfas_jax.errors import InputError

#: Attack type to one of the five macro types that a type-aware search draws
#: (NAS-FAS sec. 5.1); the thirteen of SiW-M, then those of the other datasets.
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
#: The thirteen of SiW-M.
SIW_M_TYPES = tuple(MACRO_TYPES)[:13]


def macro_types(attack_types: Iterable[str]) -> list[str]:
    """Their macro types, each once, sorted.

    >>> macro_types(["funny_eye", "print", "cut_photo"])
    ['partial', 'print']

    Raises:
      InputError: an attack type has none.
    """
    attack_types = sorted(set(attack_types))
    unknown = [name for name in attack_types if name not in MACRO_TYPES]
    if unknown:
        raise InputError(
            f"The attack types {', '.join(unknown)} have no macro type; those of"
            f" {', '.join(MACRO_TYPES)} are known. Name the attacks like these (the"
            " folders of own_data), or search by domain (config.search.by)."
        )
    return sorted({MACRO_TYPES[name] for name in attack_types})


def groups(
    attack_type: np.ndarray, label: np.ndarray, *, unseen: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Places of each macro type's spoof clips and of all live ones.

    Args:
      attack_type: of each clip, [n] texts.
      label: live 1, spoof 0, [n].
      unseen: attack types whose macro types get no group.

    Returns:
      Macro type to places [k], sorted by macro type.

    Raises:
      InputError: an attack type has no macro type, or fewer than two groups are left.
    """
    live = label == 1
    kinds = attack_type[~live].tolist()
    left_out = macro_types(unseen)
    kept = [name for name in macro_types(kinds) if name not in left_out]
    if len(kept) < 2:
        raise InputError(
            "An episode by macro type needs two of them or more, one to be the query"
            f" and the others the support; got {', '.join(kept) or 'none'} from the"
            f" attack types {', '.join(sorted(set(kinds))) or 'none'}, without"
            f" {', '.join(left_out) or 'nothing'}, which is tested and not learned."
            " Choose data or a protocol with more macro types, or search by domain."
        )
    macro = np.array([MACRO_TYPES.get(name, "") for name in attack_type.tolist()])
    return {name: np.flatnonzero(live | (~live & (macro == name))) for name in kept}
