"""Attack types by their macro types."""

#: Attack type to one of the five macro types that a type-aware search draws
#: (NAS-FAS, T-Meta-NAS); the thirteen of SiW-M, then those of the other datasets.
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
