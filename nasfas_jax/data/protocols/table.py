"""All protocols as a table: their shares and their folds."""

from nasfas_jax.data.protocols import cuts
from nasfas_jax.data.protocols.counts import WHOLE, ocim_name
from nasfas_jax.data.protocols.share import Protocol, Share
from nasfas_jax.data.protocols.types import SIW_M_TYPES
from nasfas_jax.data.sources import SPLITS

TRAIN, DEV, TEST = (SPLITS[:1], SPLITS[1:2], SPLITS[2:])

#: Arashloo et al.: nine attack types by their short names there.
CROSS_TYPE = {
    "casia": (
        "casia_mfsd",
        {"video": "video_replay", "cut": "cut_photo", "warped": "warped_photo"},
    ),
    "replay": (
        "replay_attack",
        {"video": "video_replay", "digital": "digital_photo", "printed": "print"},
    ),
    "msu": (
        "msu_mfsd",
        {"printed": "print", "hr_video": "ipad_video", "mobile_video": "iphone_video"},
    ),
}
LETTERS = dict(
    zip(WHOLE, ("oulu_npu", "casia_mfsd", "replay_attack", "msu_mfsd"), strict=True)
)
MASKS = ("three_dmad", "hkbu_mars", "casia_surf_3dmask")

OULU = "Boulkenafet et al., OULU-NPU, FG 2017"
SIW = "Liu et al., Learning Deep Models for FAS, CVPR 2018"
OURS = "no published protocol: cut by subject here, see docs"


def _grid(
    name: str,
    title: str,
    learned: dict | None = None,
    tested: dict | None = None,
    *,
    source: str,
    dataset: str = "",
    first_frames: int = 0,
) -> Protocol:
    """One dataset by its own parts, under conditions for learning and for testing."""
    dataset = dataset or name.split("@")[0]
    parts = [
        tuple(Share(dataset, splits, where) for where in _both(conditions))
        for splits, conditions in ((TRAIN, learned), (DEV, learned), (TEST, tested))
    ]
    return Protocol(name, title, *parts, source=source, first_frames=first_frames)


def _both(conditions: dict | None) -> list[dict]:
    """Conditions on all videos, or, under 'spoof', on the spoofs beside all live ones."""
    if conditions and "spoof" in conditions:
        return [{"attack_type": ("live",)}, conditions["spoof"]]
    return [conditions or {}]


def _others(values: str, value: str) -> tuple[str, ...]:
    return tuple(other for other in values if other != value)


def _oulu() -> list[Protocol]:
    files = {"file": ("1", "2", "4")}, {"file": ("1", "3", "5")}
    scenes = {"session": ("1", "2")}, {"session": ("3",)}
    phones = {p: ({"phone": _others("123456", p)}, {"phone": (p,)}) for p in "123456"}
    rows = [
        ("1", "unseen environment", *scenes),
        ("2", "unseen printer and display", *files),
        *((f"3.{p}", f"unseen phone {p}", *both) for p, both in phones.items()),
    ]
    for phone, both in phones.items():
        all_three = [a | b | c for a, b, c in zip(scenes, files, both, strict=True)]
        rows.append((f"4.{phone}", f"phone {phone} and all the above", *all_three))
    return [_grid(f"oulu_npu@{number}", *row, source=OULU) for number, *row in rows]


def _siw() -> list[Protocol]:
    def replay(*mediums: str) -> dict:
        return {"spoof": {"attack_type": ("replay",), "medium": mediums}}

    printed, replayed = ({"attack_type": ("live", t)} for t in ("print", "replay"))
    rows = [
        *(
            (
                f"2.{m}",
                f"unseen replay medium {m}",
                replay(*_others("1234", m)),
                replay(m),
            )
            for m in "1234"
        ),
        ("3.1", "print to replay", printed, replayed),
        ("3.2", "replay to print", replayed, printed),
    ]
    first = _grid(
        "siw@1",
        "faces of the first 60 frames to all frames",
        source=SIW,
        first_frames=60,
    )
    return [first] + [_grid(f"siw@{number}", *row, source=SIW) for number, *row in rows]


def _single() -> list[Protocol]:
    """Replay-Attack, CASIA-MFSD and MSU-MFSD by kinds, and the sets without protocol."""

    def spoof(**where: tuple[str, ...]) -> tuple[dict, dict]:
        return ({"spoof": where},) * 2

    devices = {kind: {"device": (kind,)} for kind in ("print", "mobile", "highdef")}
    media = {kind: {"media": (kind,)} for kind in ("photo", "video")}
    digital = {"media": ("photo",), "device": ("mobile", "highdef")}
    replay = devices | media | {"digitalphoto": digital}
    # No share for 'real': a live file's name says neither device nor media.
    rows = [
        (f"replay_attack@{kind}", f"{kind} attacks", *spoof(**where))
        for kind, where in replay.items()
    ]
    rows += [
        (f"casia_mfsd@{kind}", f"{kind} attacks", *spoof(attack_type=(attack,)))
        for kind, attack in CROSS_TYPE["casia"][1].items()
    ]
    rows += [
        (f"casia_mfsd@quality_{group}", f"files {group} alone", *2 * (where,))
        for group in ("1", "2", "HR")
        for where in ({"quality_group": (group,)},)
    ]
    papers = {
        "replay_attack": "Chingovska et al., BIOSIG 2012",
        "casia_mfsd": "Zhang et al., A Face Antispoofing Database, ICB 2012",
        "msu_mfsd": "Wen et al., Face Spoof Detection, TIFS 2015",
    }
    rows += [
        ("replay_attack@grandtest", "all attacks"),
        ("casia_mfsd@all", "all attacks"),
        ("msu_mfsd@all", "all attacks"),
    ]
    ours = [(f"{name}@by_subject", "subjects of one dataset") for name in MASKS]
    ours += [(f"{name}@all", "its own parts") for name in ("own_data", "synthetic")]
    return [
        _grid(name, *row, source=papers.get(name.split("@")[0], OURS))
        for name, *row in sorted(rows, key=lambda row: _place(row[0])) + ours
    ]


def _place(name: str) -> tuple[int, bool]:
    """By dataset, the whole one first."""
    dataset, _, which = name.partition("@")
    return list(LETTERS.values()).index(dataset), which not in ("all", "grandtest")


def _ocim(target: str) -> list[Protocol]:
    """Leave one dataset out, as SSDG counts datasets, and with the official parts."""
    learned = [LETTERS[letter] for letter in WHOLE if letter != target]
    tested, name = LETTERS[target], ocim_name(target)

    def shares(splits: tuple[str, ...]) -> tuple[Share, ...]:
        return tuple(Share(dataset, splits) for dataset in learned)

    # A development part that is our cut of training is part of what SSDG tests.
    counted = SPLITS if tested in cuts.CUTS else TRAIN + TEST
    return [
        Protocol(
            f"ocim@{name}.ssdg",
            "train and test parts of each; development for the threshold",
            shares(TRAIN + TEST),
            shares(DEV),
            (Share(tested, counted),),
            source="Jia et al., SSDG, CVPR 2020",
        ),
        Protocol(
            f"ocim@{name}.split",
            "official parts: training parts to the test part",
            shares(TRAIN),
            shares(DEV),
            (Share(tested, TEST),),
            source="Wang et al., SSAN, CVPR 2022",
        ),
    ]


def _synthetic(target: str) -> Protocol:
    learned = {"domain": tuple(f"dom_{x.lower()}" for x in WHOLE if x != target)}
    return Protocol(
        f"synthetic@{ocim_name(target)}",
        f"unseen domain dom_{target.lower()}, all its parts",
        (Share("synthetic", TRAIN, learned),),
        (Share("synthetic", DEV, learned),),
        (Share("synthetic", SPLITS, {"domain": (f"dom_{target.lower()}",)}),),
        source="rendered here",
    )


def _cross_type() -> list[Protocol]:
    return [
        _grid(
            f"cross_type@{short}.{kind}",
            f"unseen {attack} of {dataset}",
            {"attack_type": ("live", *(t for t in types.values() if t != attack))},
            {"attack_type": ("live", attack)},
            source="Arashloo et al., IEEE Access 2017",
            dataset=dataset,
        )
        for short, (dataset, types) in CROSS_TYPE.items()
        for kind, attack in types.items()
    ]


def _siw_m(held: str) -> Protocol:
    """Twelve types and four fifths of live to the thirteenth and a fifth of live."""
    live, rest = ("live",), tuple(other for other in SIW_M_TYPES if other != held)
    return Protocol(
        f"siw_m@leave_{held}_out",
        f"unseen {held}",
        (
            Share("siw_m", TRAIN, {"attack_type": live}),
            Share("siw_m", TRAIN + TEST, {"attack_type": rest}),
        ),
        (Share("siw_m", DEV, {"attack_type": (*live, *rest)}),),
        (
            Share("siw_m", TEST, {"attack_type": live}),
            Share("siw_m", SPLITS, {"attack_type": (held,)}),
        ),
        source="Liu et al., Deep Tree Learning, CVPR 2019",
        drop_tested=True,
    )


def _cross_dataset() -> list[Protocol]:
    return [
        Protocol(
            f"cross_dataset@{name}",
            f"{learned} to {tested}",
            (Share(learned, TRAIN),),
            (Share(learned, DEV),),
            (Share(tested, TEST),),
            source="de Freitas Pereira et al., ICB 2013",
        )
        for name, learned, tested in (
            ("casia_to_replay", "casia_mfsd", "replay_attack"),
            ("replay_to_casia", "replay_attack", "casia_mfsd"),
        )
    ]


def _cross_dataset_cross_type() -> Protocol:
    learned = ("oulu_npu", "siw")
    return Protocol(
        "cross_dataset_cross_type",
        "print and replay to unseen masks of other datasets",
        tuple(Share(name, TRAIN) for name in learned),
        tuple(Share(name, DEV) for name in learned),
        tuple(Share(name, SPLITS) for name in MASKS),
        source="Yu et al., NAS-FAS, TPAMI 2020",
    )


def _all() -> list[Protocol]:
    return [
        *_oulu(),
        *_siw(),
        *_single(),
        *(_siw_m(held) for held in SIW_M_TYPES),
        *_cross_type(),
        *(protocol for target in "MCIO" for protocol in _ocim(target)),
        *(_synthetic(target) for target in "MCIO"),
        *_cross_dataset(),
        _cross_dataset_cross_type(),
    ]


PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in _all()}


def _starting(*starts: str, ending: str = "") -> tuple[str, ...]:
    return tuple(n for n in PROTOCOLS if n.startswith(starts) and n.endswith(ending))


#: Families whose published number is the mean over their members.
FOLDS: dict[str, tuple[str, ...]] = {
    "oulu_npu@3": _starting("oulu_npu@3."),
    "oulu_npu@4": _starting("oulu_npu@4."),
    "siw@2": _starting("siw@2."),
    "siw@3": _starting("siw@3."),
    "siw_m@leave_one_out": _starting("siw_m@leave_"),
    "cross_type": _starting("cross_type@"),
    "ocim.ssdg": _starting("ocim@", ending=".ssdg"),
    "ocim.split": _starting("ocim@", ending=".split"),
    "synthetic@leave_one_out": tuple(f"synthetic@{ocim_name(t)}" for t in "MCIO"),
}
