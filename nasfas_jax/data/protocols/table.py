"""All protocols as a table: their shares and their folds."""

import dataclasses
from collections.abc import Mapping

from nasfas_jax.attack_types import MACRO_TYPES, SIW_M_TYPES
from nasfas_jax.data.datasets.sources import SPLITS
from nasfas_jax.data.protocols import cuts
from nasfas_jax.data.protocols.counts import WHOLE, ocim_name
from nasfas_jax.data.protocols.share import Protocol, Share

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
#: Types that the search for masks has not seen (NAS-FAS Table 8).
SIW_M_MASKS = tuple(name for name in SIW_M_TYPES if MACRO_TYPES[name] == "mask")
MASKS = ("three_dmad", "hkbu_mars", "casia_surf_3dmask")

Where = Mapping[str, tuple[str, ...]]
Row = tuple[str, str, Where, Where]  # name, title, conditions to learn and to test

#: Where a dataset's own protocols are defined.
PAPERS = {
    "oulu_npu": "Boulkenafet et al., OULU-NPU, FG 2017",
    "siw": "Liu et al., Learning Deep Models for Face Anti-Spoofing, CVPR 2018",
    "casia_mfsd": "Zhang et al., A Face Antispoofing Database, ICB 2012",
    "replay_attack": "Chingovska et al., BIOSIG 2012",
    "msu_mfsd": "Wen et al., Image Distortion Analysis, TIFS 2015",
    "own_data": "the folder's own splits",
    "synthetic": "rendered here",
}
OURS = "none published: subjects cut here"


def _within(row: Row, first_frames: int = 0) -> Protocol:
    """A dataset by its own splits; development is chosen as training is."""
    name, title, learned, tested = row
    dataset = name.split("@")[0]
    return Protocol(
        name,
        title,
        (Share(dataset, TRAIN, learned),),
        (Share(dataset, DEV, learned),),
        (Share(dataset, TEST, tested),),
        source=PAPERS.get(dataset, OURS),
        first_frames=first_frames,
    )


def _others(values: str, value: str) -> tuple[str, ...]:
    return tuple(other for other in values if other != value)


def _oulu() -> list[Row]:
    scenes: tuple[Where, Where] = {"session": ("1", "2")}, {"session": ("3",)}
    files: tuple[Where, Where] = {"file": ("1", "2", "4")}, {"file": ("1", "3", "5")}
    rows: list[Row] = [
        ("oulu_npu@1", "unseen environment", *scenes),
        ("oulu_npu@2", "unseen printer and display", *files),
    ]
    phones: list[tuple[Where, Where]] = [
        ({"phone": _others("123456", phone)}, {"phone": (phone,)}) for phone in "123456"
    ]
    for i, both in enumerate(phones, 1):
        rows.append((f"oulu_npu@3.{i}", f"unseen phone {i}", *both))
    for i, (seen, unseen) in enumerate(phones, 1):
        learned = {**scenes[0], **files[0], **seen}
        tested = {**scenes[1], **files[1], **unseen}
        rows.append(
            (f"oulu_npu@4.{i}", f"phone {i}, all three unseen", learned, tested)
        )
    return rows


def _siw() -> list[Row]:
    printed: Where = {"attack_type": ("live", "print")}
    replayed: Where = {"attack_type": ("live", "replay")}
    rows: list[Row] = [
        (
            f"siw@2.{medium}",
            f"unseen replay medium {medium}",
            {**replayed, "spoof.medium": _others("1234", medium)},
            {**replayed, "spoof.medium": (medium,)},
        )
        for medium in "1234"
    ]
    rows.append(("siw@3.1", "print to replay", printed, replayed))
    rows.append(("siw@3.2", "replay to print", replayed, printed))
    return rows


def _kinds() -> list[Row]:
    """Replay-Attack, CASIA-MFSD and MSU-MFSD, whole and by kinds of attack."""
    same: list[tuple[str, str, Where]] = [
        ("casia_mfsd@all", "all attacks", {}),
        *(
            (f"casia_mfsd@{kind}", f"{attack} only", {"attack_type": ("live", attack)})
            for kind, attack in CROSS_TYPE["casia"][1].items()
        ),
        *(
            (
                f"casia_mfsd@quality_{group}",
                f"files {files}",
                {"quality_group": (group,)},
            )
            for group, files in (
                ("1", "1, 3, 5, 7"),
                ("2", "2, 4, 6, 8"),
                ("HR", "HR_1 to HR_4"),
            )
        ),
        ("replay_attack@grandtest", "all attacks", {}),
        *(
            (f"replay_attack@{kind}", f"{kind} attacks", {f"spoof.{of}": (kind,)})
            for of, kinds in (
                ("device", ("print", "mobile", "highdef")),
                ("media", ("photo", "video")),
            )
            for kind in kinds
        ),
        (
            "replay_attack@digitalphoto",
            "photos on a display",
            {"spoof.media": ("photo",), "spoof.device": ("mobile", "highdef")},
        ),
        ("msu_mfsd@all", "all attacks", {}),
    ]
    return [(name, title, where, where) for name, title, where in same]


def _ours() -> list[Row]:
    rows: list[Row] = [
        (f"{name}@by_subject", "people of one dataset", {}, {}) for name in MASKS
    ]
    own = [(f"{name}@all", "its own splits") for name in ("own_data", "synthetic")]
    return rows + [(*one, {}, {}) for one in own]


def _ocim(target: str) -> list[Protocol]:
    """Leave one dataset out, as SSDG counts datasets, and with the official splits."""
    learned = [LETTERS[letter] for letter in WHOLE if letter != target]
    tested, name = LETTERS[target], ocim_name(target)

    def shares(splits: tuple[str, ...]) -> tuple[Share, ...]:
        return tuple(Share(dataset, splits) for dataset in learned)

    # A development split that is our cut of training belongs to what SSDG tests.
    counted = SPLITS if tested in cuts.CUTS else TRAIN + TEST
    return [
        Protocol(
            f"ocim@{name}.ssdg",
            "train and test splits of each; development for the threshold",
            shares(TRAIN + TEST),
            shares(DEV),
            (Share(tested, counted),),
            source="Jia et al., SSDG, CVPR 2020",
        ),
        Protocol(
            f"ocim@{name}.split",
            "official splits: training splits to the test split",
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
        f"unseen domain dom_{target.lower()}, all its splits",
        (Share("synthetic", TRAIN, learned),),
        (Share("synthetic", DEV, learned),),
        (Share("synthetic", SPLITS, {"domain": (f"dom_{target.lower()}",)}),),
        source="rendered here",
    )


def _cross_type() -> list[Protocol]:
    """Two types of a dataset to the third, between the subjects of its own splits."""
    return [
        dataclasses.replace(
            _within((f"{dataset}@", f"{dataset}, unseen {attack}", rest, held)),
            name=f"cross_type@{short}.{kind}",
            source="Arashloo et al., IEEE Access 2017",
        )
        for short, (dataset, types) in CROSS_TYPE.items()
        for kind, attack in types.items()
        for held in ({"attack_type": ("live", attack)},)
        for rest in (
            {"attack_type": ("live", *(t for t in types.values() if t != attack))},
        )
    ]


def _siw_m(name: str, held: tuple[str, ...], source: str) -> Protocol:
    """The other types and four fifths of live to those held out and a fifth of live."""
    live, rest = ("live",), tuple(other for other in SIW_M_TYPES if other not in held)
    return Protocol(
        f"siw_m@{name}",
        f"unseen {', '.join(held)}",
        (
            Share("siw_m", TRAIN, {"attack_type": live}),
            Share("siw_m", TRAIN + TEST, {"attack_type": rest}),
        ),
        (Share("siw_m", DEV, {"attack_type": (*live, *rest)}),),
        (
            Share("siw_m", TEST, {"attack_type": live}),
            Share("siw_m", SPLITS, {"attack_type": held}),
        ),
        source=source,
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
        *map(_within, _oulu()),
        _within(
            ("siw@1", "the first 60 frames to all frames", {}, {}), first_frames=60
        ),
        *map(_within, [*_siw(), *_kinds(), *_ours()]),
        *(
            _siw_m(
                f"leave_{held}_out",
                (held,),
                "Liu et al., Deep Tree Learning, CVPR 2019",
            )
            for held in SIW_M_TYPES
        ),
        _siw_m("without_masks", SIW_M_MASKS, "Yu et al., NAS-FAS, TPAMI 2020"),
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
