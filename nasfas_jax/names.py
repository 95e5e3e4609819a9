"""Names of files and people: identity, system files to ignore, and length limits."""

import hashlib
import os
import unicodedata

#: Longest file name in bytes on all common file systems.
LONGEST = 255
# System files of operating systems and storage devices, besides hidden files.
SYSTEM_FILES = frozenset(
    {
        *("__MACOSX", "Icon\r", "lost+found", "@eaDir"),
        *("Thumbs.db", "ehthumbs.db", "desktop.ini"),
        *("$RECYCLE.BIN", "System Volume Information"),
    }
)


def normalize(name: str) -> str:
    """Canonical form of the name of a person, domain or attack type.

    Unicode NFC, so that both spellings of an accent are one name (macOS writes NFD);
    white space is trimmed and every run of it is one space; `printable`. Letter case is
    kept.

    >>> normalize(" Jose\u0301  M. ") == "Jos\u00e9 M."
    True
    """
    return printable(unicodedata.normalize("NFC", " ".join(name.split())))


def printable(text: str) -> str:
    r"""Text with line breaks, control characters and invalid UTF-8 as `\xNN` escapes.

    File names may contain all of them; the result is valid UTF-8 on one line.

    >>> print(printable("two\nlines, caf\udce9"))
    two\x0alines, caf\xe9
    """
    return "".join(
        _escaped(c) if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c
        for c in text
    )


def _escaped(character: str) -> str:
    raw = character.encode("utf-8", "surrogateescape")
    return "".join(f"\\x{byte:02x}" for byte in raw)


def is_ignored(name: str) -> bool:
    """Whether a file or folder of this name is hidden or a system file.

    >>> [is_ignored(name) for name in ("._a.mp4", "__MACOSX", "Thumbs.db", "a.mp4")]
    [True, True, True, False]
    """
    return name.startswith(".") or name in SYSTEM_FILES


def fit(name: str, longest: int = LONGEST) -> str:
    """The name if it has at most `longest` bytes, else one with a hash for its end.

    A suffix of up to 16 bytes is kept, since it states the file type.

    >>> fit("face.mp4"), len(fit("x" * 251 + ".mp4", 200))
    ('face.mp4', 200)
    """
    raw = os.fsencode(name)
    if len(raw) <= longest:
        return name
    suffix = os.path.splitext(name)[1]
    suffix = suffix if len(os.fsencode(suffix)) <= 16 else ""
    end = f"~{hashlib.sha256(raw).hexdigest()[:16]}{suffix}"
    start = raw[: longest - len(os.fsencode(end))]
    return start.decode("utf-8", "ignore") + end
