"""Score files: one row for each clip, as CSV.

The first line states the polarity, the next what the model was selected on, then come the
names of the columns:

    # live = 1, spoof = 0; a higher score means live
    # selected_on = nothing
    clip,subject,domain,attack_type,label,score,split
"""

import csv
import dataclasses
import io
import os
import pathlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from nasfas_jax import files, names
from nasfas_jax.errors import InputError

HEADER = "# live = 1, spoof = 0; a higher score means live"
NAMES = ("clip", "subject", "domain", "attack_type")
COLUMNS = (*NAMES, "label", "score", "split")
SPLITS = ("train", "development", "test")
LIVE = "live"
#: What a model, its settings or its checkpoint were chosen by; the last is "nothing".
SELECTED_ON = (*SPLITS, "nothing")
A_NAME = "a name, without line break"
#: The frame index at the end of a clip's name: digits alone, after a video's name.
FRAME = re.compile(r"(?<=.)#[0-9]+\Z", re.DOTALL)


@dataclasses.dataclass(frozen=True, eq=False)
class ScoreTable:
    """Columns of equal length, one row for each clip (or video, after ``by_video``).

    A clip is named ``<video>#<frame index>``, or ``<video>`` where a video has one score;
    text after '#' that is not all digits belongs to the video's name. ``subject`` is one
    person wherever that name occurs: the reader of a dataset prefixes its own name to
    bare numbers. ``attack_type`` is "live" for live rows and only for those.
    ``selected_on`` is the split whose scores the model was selected by, "nothing" (the
    last checkpoint of settings fixed beforehand), or None if the file does not state it.

    Names are stored as ``normalized`` returns them, so that two Unicode spellings of one
    person are one subject.

    Raises:
      InputError: columns of unequal length, a label that is neither 0 nor 1 or
        contradicts the attack type, a score that is not finite, an unknown split or
        selection, an empty name or a line break in it, a clip that occurs twice.
    """

    clip: np.ndarray
    subject: np.ndarray
    domain: np.ndarray
    attack_type: np.ndarray
    label: np.ndarray
    score: np.ndarray
    split: np.ndarray
    selected_on: str | None = None

    def __post_init__(self):
        if self.selected_on not in (*SELECTED_ON, None):
            raise InputError(
                f"score table: selected_on: expected {', '.join(SELECTED_ON)} or None, "
                f"got {self.selected_on!r}. Name what the model was selected by."
            )
        columns = {name: np.asarray(getattr(self, name)) for name in COLUMNS}
        columns = _checked(columns, lambda row: f"score table, row {row + 1}")
        for name, values in columns.items():
            dtype = {"label": np.int64, "score": np.float64}.get(name, np.str_)
            object.__setattr__(self, name, values.astype(dtype))

    def __len__(self) -> int:
        return len(self.clip)

    @property
    def video(self) -> np.ndarray:
        """Name of each clip's video: the clip's name without its frame number."""
        return np.array([FRAME.sub("", clip) for clip in self.clip.tolist()], np.str_)

    def take(self, rows: np.ndarray) -> "ScoreTable":
        """The rows of an index or a boolean mask."""
        return self.replace(**{name: getattr(self, name)[rows] for name in COLUMNS})

    def replace(self, **fields) -> "ScoreTable":
        """A table in which some fields are others."""
        return dataclasses.replace(self, **fields)


def write_scores(path: str | os.PathLike, table: ScoreTable) -> None:
    """Write a score file: whole or not at all, and every score exactly."""
    text = io.StringIO()
    text.write(HEADER + "\n")
    if table.selected_on:
        text.write(f"# selected_on = {table.selected_on}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(
        zip(*(getattr(table, name).tolist() for name in COLUMNS), strict=True)
    )
    files.write_text(path, text.getvalue())


def read_scores(path: str | os.PathLike) -> ScoreTable:
    """Reads a score file.

    Lines that start with '#' before the column names are comments, except
    ``# selected_on = ...``. The columns may have any order; columns of other names,
    empty lines and blanks around fields are ignored.

    Raises:
      InputError: with file and line: the file is missing, empty or no UTF-8 CSV, a
        column is missing, a row has too few or too many fields, a score is no number,
        or what ``ScoreTable`` refuses.
    """
    path = pathlib.Path(path)
    stream = io.StringIO(_read_text(path), newline="")
    selected_on, skipped = _read_comments(path, stream)
    names, rows, lines = _parse(path, stream, skipped)
    columns: dict[str, np.ndarray] = {}
    for name in COLUMNS:
        values = [row[names.index(name)] for row in rows]
        if name in ("label", "score"):
            columns[name] = _numbers(path, name, values, lines)
        else:
            columns[name] = np.array(values, np.str_)
    columns = _checked(columns, lambda row: f"{path}, line {lines[row]}")
    return ScoreTable(**columns, selected_on=selected_on)


def normalized(column: str, values: np.ndarray) -> np.ndarray:
    """Canonical names of a column: [n] -> str [n].

    ``names.normalize`` of each; a clip is a path, which keeps its inner white space.
    """
    canonical = _path if column in ("clip", "video") else names.normalize
    return np.array([canonical(str(name)) for name in values.tolist()], np.str_)


def _path(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip())


def by_video(table: ScoreTable) -> ScoreTable:
    """One row for each video, in order of name, its score the mean over its clips.

    Raises:
      InputError: clips of one video differ in subject, domain, attack type, label or
        split.
    """
    # Sums in a fixed order: equal tables give equal scores, in whatever order they come.
    table = table.take(np.argsort(table.clip))
    videos, first, index = np.unique(
        table.video, return_index=True, return_inverse=True
    )
    columns = {"clip": videos}
    for name in COLUMNS[1:]:
        values = getattr(table, name)
        columns[name] = values[first]
        if name != "score" and (values != values[first][index]).any():
            row = int(np.argmax(values != values[first][index]))
            raise InputError(
                f"video {videos[index[row]]}: expected one {name} for all its clips, "
                f"got {values[first][index][row]} and {values[row]}. Give videos of "
                "different datasets different names."
            )
    total = np.bincount(index, weights=table.score, minlength=len(videos))
    columns["score"] = total / np.bincount(index, minlength=len(videos))
    return table.replace(**columns)


def _read_text(path: pathlib.Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such score file. `nasfas evaluate` writes one; check the path."
        ) from None
    except OSError as error:
        raise InputError(
            f"{path}: expected a score file, got what cannot be read "
            f"({error.strerror}). Name a file that `nasfas evaluate` wrote."
        ) from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: expected UTF-8 text, got bytes that are none (at "
            f"byte {error.start} of the file). Save the file as UTF-8."
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(
            f"{path}, line {line}: expected UTF-8 text, got a NUL byte. The file is "
            "UTF-16 or damaged: save it as UTF-8, or write it again."
        )
    return text


def _read_comments(path: pathlib.Path, stream: io.StringIO) -> tuple[str | None, int]:
    """The value of ``selected_on``, and the number of lines before the column names."""
    selected_on, skipped, start = None, 0, stream.tell()
    for line in iter(stream.readline, ""):
        line = line.strip(' \t\r\n,;"')  # spreadsheets pad and quote a comment
        if line and not line.startswith("#"):
            break
        skipped, start = skipped + 1, stream.tell()
        key, _, value = (word.strip() for word in line.lstrip("#").partition("="))
        if key != "selected_on":
            continue
        if selected_on is not None or value not in SELECTED_ON:
            raise InputError(
                f"{path}, line {skipped}: selected_on: expected one of "
                f"{', '.join(SELECTED_ON)}, once, got {value!r}. Name the split that the "
                "model was selected by, or remove the line."
            )
        selected_on = value
    stream.seek(start)
    return selected_on, skipped


def _parse(
    path: pathlib.Path, stream: io.StringIO, skipped: int
) -> tuple[list[str], list[list[str]], list[int]]:
    """Column names, rows of fields, and the line at which each row ends."""
    reader = csv.reader(stream, strict=True, skipinitialspace=True)
    names: list[str] = []
    rows, lines = [], []
    try:
        for row in reader:
            line = skipped + reader.line_num
            row = [field.strip(" \t") for field in row]
            if not any(row):
                continue
            if not names:
                names = row
                _check_names(path, line, names)
            elif len(row) != len(names):
                raise InputError(
                    f"{path}, line {line}: expected {len(names)} fields "
                    f"({','.join(names)[:200]!r}), got {len(row)}. Repair or remove the "
                    "line; if it is the last one, the file was not written to its end."
                )
            else:
                rows.append(row)
                lines.append(line)
    except csv.Error as error:
        raise InputError(
            f"{path}, line {skipped + reader.line_num}: expected comma-separated "
            f"values, got something else ({error}). Write the file with `nasfas "
            "evaluate`."
        ) from None
    if not rows:
        raise InputError(
            f"{path}: expected a line {','.join(COLUMNS)} and rows below it, got no "
            "row. Run `nasfas evaluate` again."
        )
    return names, rows, lines


def _check_names(path: pathlib.Path, line: int, names: Sequence[str]) -> None:
    missing = [name for name in COLUMNS if name not in names]
    double = [name for name in COLUMNS if names.count(name) > 1]
    if missing or double:
        fault = f"no {', '.join(missing)}" if missing else f"{double[0]} twice"
        raise InputError(
            f"{path}, line {line}: expected the columns {','.join(COLUMNS)}, separated "
            f"by commas, got {fault} in {','.join(names)[:200]!r}. Name each column once."
        )


def _numbers(
    path: pathlib.Path, name: str, values: Sequence[str], lines: Sequence[int]
) -> np.ndarray:
    numbers = np.empty(len(values), np.float64)
    for row, value in enumerate(values):
        try:
            # Python reads 1_0 as ten; in a file it is a slip.
            numbers[row] = float(value.replace("_", "?"))
        except ValueError:
            form = {"label": " (1 is live, 0 is spoof)", "score": " (such as -0.25)"}
            raise InputError(
                f"{path}, line {lines[row]}: expected a number as {name}{form[name]}, "
                f"got {value!r}. Repair the line."
            ) from None
    return numbers


def _one_line(names: np.ndarray) -> np.ndarray:
    """Mask of the names that are not empty and contain no line break."""
    text = names.astype(np.str_)
    broken = (np.strings.find(text, "\n") >= 0) | (np.strings.find(text, "\r") >= 0)
    return ~broken & (text != "")


def _checked(
    columns: Mapping[str, np.ndarray], where: Callable[[int], str]
) -> dict[str, np.ndarray]:
    """The columns with normalized names; raises for a row that breaks a rule."""
    shapes = {name: values.shape for name, values in columns.items()}
    if len(set(shapes.values())) > 1 or columns["clip"].ndim != 1:
        raise InputError(
            f"score table: expected columns of one length, got shapes {shapes}. Build "
            "all columns from the same rows."
        )
    # Before normalizing, which makes a line break a blank.
    _require(columns, [(n, _one_line(columns[n]), A_NAME) for n in NAMES], where)
    columns = dict(columns) | {n: normalized(n, columns[n]) for n in NAMES}
    label, score = columns["label"], columns["score"]
    rules = (
        ("label", np.isin(label, (0, 1)), "1 for live or 0 for spoof"),
        # The largest number of all has none above it for a threshold.
        ("score", np.abs(score) < np.finfo(np.float64).max, "a finite number"),
        ("split", np.isin(columns["split"], SPLITS), "train, development or test"),
        (
            "attack_type",
            (columns["attack_type"] == LIVE) == (label == 1),
            "'live' where the label is 1 and an attack's name where it is 0",
        ),
        *((name, columns[name] != "", A_NAME) for name in NAMES),
    )
    _require(columns, rules, where)
    _require_once(columns["clip"], where)
    return columns


def _require(
    columns: Mapping[str, np.ndarray],
    rules: Iterable[tuple[str, np.ndarray, str]],
    where: Callable[[int], str],
) -> None:
    """Raises for the first row that breaks a rule: (column, rows that keep it, text)."""
    for name, good, expected in rules:
        if not good.all():
            row = int(np.argmin(good))
            value, clip = columns[name][row].item(), columns["clip"][row].item()
            raise InputError(
                f"{where(row)}: {name}: expected {expected}, got {value!r} (clip "
                f"{clip!r}; {np.sum(~good)} of {len(good)} rows). Repair these rows, or "
                "write the file again."
            )


def _require_once(clip: np.ndarray, where: Callable[[int], str]) -> None:
    """Raises if a clip occurs in two rows."""
    _, start, index = np.unique(clip, return_index=True, return_inverse=True)
    earlier = start[index]
    again = earlier != np.arange(len(clip))
    if again.any():
        row = int(np.argmax(again))
        raise InputError(
            f"{where(row)}: clip: expected every clip once, got {clip[row].item()!r} "
            f"again, as in {where(int(earlier[row]))} ({np.sum(again)} of {len(clip)} "
            "rows). Two Unicode spellings of a name are one clip. Remove these rows, or "
            "write the file again."
        )
