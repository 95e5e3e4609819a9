"""Score files: every number is kept, and faults are named with file and line."""

import gzip
import re
import unicodedata

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from score_tables import BOTH, ROWS, table_of

from nasfas_jax.errors import InputError
from nasfas_jax.evaluation.scores import (
    COLUMNS,
    HEADER,
    read_scores,
    write_scores,
)


def test_file_keeps_every_number(tmp_path):
    path = tmp_path / "scores.csv"
    write_scores(path, BOTH)
    again = read_scores(path)
    assert path.read_text().startswith(HEADER + "\n" + ",".join(COLUMNS) + "\n")
    assert [p.name for p in tmp_path.iterdir()] == ["scores.csv"]
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(again, name), getattr(BOTH, name))


# A lone surrogate is no text, a line break is refused, numpy cuts trailing NULs.
NAME = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"),
    min_size=1,
    max_size=8,
)


@given(st.lists(NAME, min_size=1, max_size=5, unique=True))
@settings(max_examples=60, deadline=None)
def test_any_name_survives(tmp_path_factory, names):
    names = [f"{n}{i}" for i, n in enumerate(names)]
    path = tmp_path_factory.mktemp("names") / "scores.csv"
    table = table_of([(n, n, n, "live", 1, 0.1, "test") for n in names])
    write_scores(path, table)
    again = read_scores(path)
    for name in ("clip", "subject", "domain"):
        assert getattr(again, name).tolist() == getattr(table, name).tolist()
        composed = [unicodedata.normalize("NFC", n.strip()) for n in names]
        assert name != "clip" or table.clip.tolist() == composed


LINES = [",".join(map(str, row)) for row in ROWS]


@pytest.mark.parametrize(
    ("line", "text", "said"),
    [
        (3, LINES[0].replace("0.75", "nan"), "line 3: score: expected a finite .*nan"),
        (4, LINES[1].replace("0.25", "high"), "line 4: expected a number as score"),
        (4, LINES[1].replace("0.25", "2_5"), "line 4: expected a number as score"),
        (4, LINES[1].replace("0.25", "-1.7976931348623157e308"), "line 4: .* finite"),
        (4, LINES[1].replace("s1", ""), "line 4: subject: expected a name"),
        (5, LINES[2].replace(",0,", ",2,"), "line 5: label: expected 1 for live"),
        (5, LINES[2].replace(",0,", ",1,"), "line 5: attack_type: expected 'live'"),
        (4, '"a\nb",s1,home,live,1,0.5,test', "line break"),
        (4, LINES[0], "line 4: clip: expected .* again, as in .*csv, line 3"),
        (5, LINES[2].replace("test", "tets"), "line 5: split: expected train, dev"),
        (5, LINES[2][:12], "line 5: expected 7 fields"),
        (2, ",".join((*COLUMNS, '"a\nb"')), r"line 4: expected 8 fields .*split,a\\nb"),
        (2, ",".join(COLUMNS[:5]), "line 2: .* no score, split"),
        (2, ",".join((*COLUMNS, "clip")), "line 2: .* clip twice"),
        (3, '"' + LINES[0], "expected comma-separated values"),
    ],
)
def test_faults_name_file_and_line(tmp_path, line, text, said):
    lines = [HEADER, ",".join(COLUMNS), *LINES]
    lines[line - 1] = text
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=said) as error:
        read_scores(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_other_faults_of_files(tmp_path):
    with pytest.raises(InputError, match="no such score file"):
        read_scores(tmp_path / "absent.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_scores(tmp_path)
    for content, said in (
        (b"", "got no row"),
        (b"# a\n\xff\xfe", "line 2: expected UTF-8"),
        (b"# a\n\n# b\n\0", "line 4: expected UTF-8 text, got a NUL"),
    ):
        (tmp_path / "bad.csv").write_bytes(content)
        with pytest.raises(InputError, match=said):
            read_scores(tmp_path / "bad.csv")


def each(change):
    """The rows of a file, with one field changed by (column, value) -> text."""
    rows = [",".join(COLUMNS)]
    for row in ROWS:
        fields = zip(COLUMNS, row, strict=True)
        rows.append(",".join(change(name, str(value)) for name, value in fields))
    return "\n".join(rows) + "\n"


PLAIN = f"{HEADER}\n# selected_on = nothing\n" + each(lambda name, value: value)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(("\ufeff" + PLAIN).encode(), id="byte-order-mark"),
        pytest.param(PLAIN.replace("\n", "\r\n").encode(), id="crlf"),
        pytest.param(PLAIN.replace("\n", "\r").encode(), id="cr"),
        pytest.param(PLAIN.replace("\n", "\n\n").encode(), id="empty-lines"),
        pytest.param((PLAIN + "  \t\n").encode(), id="blank-line"),
        pytest.param((PLAIN + ",,,,,,\n").encode(), id="row-without-content"),
        pytest.param(PLAIN.rstrip("\n").encode(), id="no-last-line-end"),
        pytest.param(PLAIN.replace("nothing", "nothing,,,,,,").encode(), id="padded"),
        pytest.param(
            PLAIN.replace(HEADER, f'"{HEADER}"').encode(), id="quoted-comment"
        ),
        pytest.param(
            ("# selected_on = nothing\n" + each(lambda n, v: f' "{v}"')).encode(),
            id="quoted-after-blanks",
        ),
        pytest.param(PLAIN.replace(",", ", ").encode(), id="a-blank-after-each-comma"),
        pytest.param(
            PLAIN.replace("split\n", "split,split_2,split_2\n")
            .replace("test\n", "test,x,y\n")
            .encode(),
            id="other-columns-twice",
        ),
        pytest.param(PLAIN.replace(",1,", ",1.0,").encode(), id="float-labels"),
    ],
)
def test_files_as_programs_write_them(tmp_path, content):
    path = tmp_path / "scores.csv"
    path.write_bytes(content)
    table, expected = read_scores(path), table_of(ROWS)
    assert table.selected_on == "nothing"
    for name in COLUMNS:
        assert getattr(table, name).tolist() == getattr(expected, name).tolist()


def swap(column, change):
    return each(lambda name, value: change(value) if name == column else value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (each(lambda n, v: v).encode("utf-16"), "line 1: expected UTF-8 text"),
        (each(lambda n, v: v).encode("utf-16-le"), "line 1: .* UTF-16 or damaged"),
        (swap("subject", lambda v: "jos\u00e9").encode("latin-1"), "line 2: .* UTF-8"),
        (
            each(lambda n, v: v).replace(",", ";").encode(),
            "separated by commas.*clip;su",
        ),
        (each(lambda n, v: v).replace(",", "\t").encode(), "separated by commas"),
        (swap("score", lambda v: "inf").encode(), "line 2: score: .* finite .* inf"),
        (swap("score", lambda v: "NaN").encode(), "line 2: score: .* finite .* nan"),
        (swap("score", lambda v: "1e400").encode(), "line 2: score: .* finite .* inf"),
        (swap("score", lambda v: "").encode(), "line 2: .* number as score .*''"),
        (swap("score", lambda v: "87%").encode(), "line 2: .* number as score .*'87%'"),
        (swap("score", lambda v: '"0,5"').encode(), "number as score .*'0,5'"),
        (
            swap("label", lambda v: "live").encode(),
            "line 2: .* label .1 is live.*'live'",
        ),
        (swap("label", lambda v: "True").encode(), "line 2: .* label .*'True'"),
        (swap("split", lambda v: "Test").encode(), "line 2: split: .* 'Test'"),
        (
            swap("attack_type", lambda v: "Live").encode(),
            "line 2: attack_type: .*'Live'",
        ),
        (swap("subject", lambda v: '" "').encode(), "line 2: subject: expected a name"),
        (gzip.compress(each(lambda n, v: v).encode()), "line 1: expected UTF-8"),
    ],
)
def test_other_files_end_in_one_paragraph(tmp_path, content, said):
    path = tmp_path / "scores.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as error:
        read_scores(path)
    assert str(error.value).startswith(f"{path}") and "\n" not in str(error.value)


@given(st.one_of(st.text(max_size=60), st.binary(max_size=60)), st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_file_gives_a_traceback(tmp_path_factory, content, headed):
    path = tmp_path_factory.mktemp("fuzz") / "scores.csv"
    if isinstance(content, str):
        content = content.encode(errors="replace")
    head = f"{HEADER}\n{','.join(COLUMNS)}\n{LINES[0]}\n".encode() if headed else b""
    path.write_bytes(head + content)
    try:
        assert len(read_scores(path)) >= 1
    except InputError as error:
        assert str(path) in str(error)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**6),
            st.integers(0, 3),
            st.sampled_from([*'",#=\n\r\0 -_0159e.', "nan", "\u2028", "selected_on"]),
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=300, deadline=None)
def test_damaged_files_are_read_or_refused(tmp_path_factory, damages):
    """Pieces cut out or put in anywhere: a table, or one paragraph naming the line."""
    text = "\n".join([HEADER, "# selected_on = nothing", ",".join(COLUMNS), *LINES, ""])
    for place, cut, piece in damages:
        place %= len(text) + 1
        text = text[:place] + piece + text[place + cut :]
    path = tmp_path_factory.mktemp("fuzz") / "scores.csv"
    path.write_bytes(text.encode())
    try:
        table = read_scores(path)
        assert len(table) >= 1 and np.isfinite(table.score).all()
    except InputError as error:
        assert re.search(rf"{path}, line \d+|{path}: .*no row", str(error))
        assert "\n" not in str(error)
