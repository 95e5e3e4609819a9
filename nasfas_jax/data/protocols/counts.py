"""The official numbers of live and spoof videos, by protocol and split.

Counted from the datasets' own protocol lists (docs/protocols.md). A key as
"train+development" has the sum: where the development split is our cut, only the sum is
official. Several pairs are alternatives. Idiap's two extra protocols of OULU-NPU, whose
sessions are unknown, and STDN's list of SiW-M are not included.
"""

from nasfas_jax.attack_types import SIW_M_TYPES

Pair = tuple[int, int]  # live, spoof
Counts = dict[str, tuple[Pair, ...]]

TD, ALL = "train+development", "train+development+test"

_OULU: dict[str, tuple[Pair, Pair, Pair]] = {
    "1": ((240, 960), (180, 720), (120, 480)),
    "2": ((360, 720), (270, 540), (360, 720)),
    **{f"3.{i}": ((300, 1200), (225, 900), (60, 240)) for i in range(1, 7)},
    **{f"4.{i}": ((200, 400), (150, 300), (20, 40)) for i in range(1, 7)},
}
# Train and development together: bob's ten development subjects are not known.
_SIW: dict[str, tuple[Pair, Pair]] = {
    "1": ((714, 1702), (599, 1454)),
    "2.1": ((714, 1003), (599, 300)),
    "2.2": ((714, 1003), (599, 296)),
    "2.3": ((714, 1005), (599, 294)),
    "2.4": ((714, 1078), (599, 250)),
    "3.1": ((714, 339), (599, 1140)),
    "3.2": ((714, 1363), (599, 314)),
}
# Attacks in all three splits together.
_REPLAY = {"print": 200, "mobile": 400, "highdef": 400, "photo": 600, "video": 400}

#: Train and development together, then test, of each whole dataset.
WHOLE: dict[str, tuple[Pair, Pair]] = {
    "O": ((630, 2520), (360, 1440)),
    "C": ((60, 180), (90, 270)),
    "I": ((120, 600), (80, 400)),
    "M": ((30, 90), (40, 120)),
}
#: As SSDG tests: train and test, without the development splits of O and I.
_SSDG: dict[str, Pair] = {
    "O": (720, 2880),
    "C": (150, 450),
    "I": (140, 700),
    "M": (70, 210),
}


def _sum(*pairs: Pair) -> Pair:
    return sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)


def _ocim(target: str) -> dict[str, Counts]:
    sources = [letter for letter in WHOLE if letter != target]
    both = _sum(*(pair for letter in sources for pair in WHOLE[letter]))
    first = _sum(*(WHOLE[letter][0] for letter in sources))
    name = f"ocim@{ocim_name(target)}"
    return {
        f"{name}.ssdg": {TD: (both,), "test": (_SSDG[target],)},
        f"{name}.split": {TD: (first,), "test": (WHOLE[target][1],)},
    }


def ocim_name(target: str) -> str:
    """Name of the protocol as in the papers.

    >>> ocim_name("O")
    'I&C&M_to_O'
    """
    order = "ICMO" if target == "O" else "OCIM" if target != "C" else "OMIC"
    return f"{'&'.join(letter for letter in order if letter != target)}_to_{target}"


#: The allowed pairs by protocol and group of splits.
OFFICIAL: dict[str, Counts] = {
    **{
        f"oulu_npu@{name}": {"train": (a,), "development": (b,), "test": (c,)}
        for name, (a, b, c) in _OULU.items()
    },
    **{f"siw@{n}": {TD: (a,), "test": (b,)} for n, (a, b) in _SIW.items()},
    "replay_attack@grandtest": {
        "train": ((60, 300),),
        "development": ((60, 300),),
        "test": ((80, 400),),
    },
    **{f"replay_attack@{n}": {ALL: ((200, s),)} for n, s in _REPLAY.items()},
    "casia_mfsd@all": {TD: (WHOLE["C"][0],), "test": (WHOLE["C"][1],)},
    "msu_mfsd@all": {TD: (WHOLE["M"][0],), "test": (WHOLE["M"][1],)},
    "three_dmad@by_subject": {
        "train": ((70, 35),),
        "development": ((50, 25),),
        "test": ((50, 25),),
    },
    "hkbu_mars@by_subject": {ALL: ((504, 504),)},
    # The paper counts 864 masks; a published list has 858, subject 0927_021 less six.
    "casia_surf_3dmask@by_subject": {ALL: ((288, 864), (288, 858))},
    **{name: counts for target in WHOLE for name, counts in _ocim(target).items()},
    "cross_dataset@casia_to_replay": {
        TD: (WHOLE["C"][0],),
        "test": (WHOLE["I"][1],),
    },
    "cross_dataset@replay_to_casia": {
        TD: (WHOLE["I"][0],),
        "test": (WHOLE["C"][1],),
    },
    # All that DTN's paper counts; held out are these live and that type.
    **{f"siw_m@leave_{name}_out": {ALL: ((660, 968),)} for name in SIW_M_TYPES},
    "siw_m@without_masks": {ALL: ((660, 968),)},
    "cross_dataset_cross_type": {
        TD: (_sum(WHOLE["O"][0], _SIW["1"][0]),),
        "test": (
            _sum((170, 85), (504, 504), (288, 864)),
            _sum((170, 85), (504, 504), (288, 858)),
        ),
    },
}
