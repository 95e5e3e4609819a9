"""Names that real file systems hold: two spellings, odd bytes, and 255 of them."""

import os
import unicodedata

import pytest

from nasfas_jax import files, names
from nasfas_jax.commands import recording


def test_one_person_in_two_spellings_is_one_name():
    for name in ("José", "Nguyễn Thị", "Zoë  Åström\u00a0"):
        forms = [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
        assert len(set(forms)) == 2 and len(set(map(names.normalize, forms))) == 1
    assert names.normalize("\tann \n b ") == "ann b"
    assert names.normalize("Ann") != names.normalize("ann")


def test_a_normalized_name_is_text_on_one_line():
    raw = os.fsdecode(b"caf\xe9\x07 \x0d\n\xe2\x80\xa8b")
    assert names.normalize(raw) == "caf\\xe9\\x07 b"
    assert names.printable("a\u2028b") == "a\\xe2\\x80\\xa8b"
    assert names.printable('日本, "50 %" #1') == '日本, "50 %" #1'


@pytest.mark.parametrize("length", [249, 250, 255])
@pytest.mark.parametrize("letter", ["a", "é", "語"])
def test_files_of_any_legal_name_are_written_whole(tmp_path, length, letter):
    size = len(letter.encode())
    stem = letter * ((length - 4) // size) + "x" * ((length - 4) % size)
    path = tmp_path / f"{stem}.mp4"
    assert len(os.fsencode(path.name)) == length
    files.write_text(path, "content")
    assert path.read_text() == "content"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["x" * 251 + ".mp4", "語" * 83 + ".a.png", "a.mp4"])
def test_outputs_of_predict_have_legal_names(tmp_path, name):
    stem = recording.stem_of(tmp_path, name)
    for path in (stem.with_suffix(".csv"), stem.with_suffix(".mp4")):
        files.write_text(path, "content")
    files.write_text(f"{stem}_maps.png", "content")
    assert len(list(tmp_path.iterdir())) == 3
    assert stem.name == name.replace(".", "_") or "~" in stem.name


def test_shortened_names_keep_suffix_and_difference():
    long = ["x" * 300 + end for end in ("a.mp4", "b.mp4")]
    short = [names.fit(name, 100) for name in long]
    assert len(set(short)) == 2 and all(name.endswith(".mp4") for name in short)
    assert max(len(os.fsencode(name)) for name in short) == 100
    assert len(os.fsencode(names.fit("x." + "語" * 100))) <= names.LONGEST
    assert names.fit("語" * 85) == "語" * 85


@pytest.mark.parametrize(
    "name", [".DS_Store", "._a.mp4", "__MACOSX", ".thumbnails", "Thumbs.db", "@eaDir"]
)
def test_system_files_are_ignored(name):
    assert names.is_ignored(name) and not names.is_ignored("a" + name)
