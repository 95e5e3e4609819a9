"""Preparing a user's collection again: people keep their split, nothing stale is left."""

import csv
import os
import pathlib
import types
import unicodedata

import cv2
import numpy as np
import pytest
import smoke

from nasfas_jax.data.datasets import base, sources, splits
from nasfas_jax.data.loading import pipeline
from nasfas_jax.data.preparation import faces, prepare
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError
from nasfas_jax.report import figures

ROOT = pathlib.Path(__file__).parents[1]
RECIPE = Recipe(image_size=16, clips_per_video=1)


class Everywhere:
    """Finds a face in the middle of every picture."""

    name = "everywhere"

    def __call__(self, image):
        return faces.Face(np.array([20.0, 10, 24, 30]))


def picture(root, *names):
    for name in names:
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        noise = np.random.default_rng(len(name)).integers(0, 255, (48, 64, 3), np.uint8)
        # Not by imwrite, which cannot open every name.
        with open(path, "wb") as file:
            file.write(cv2.imencode(".png", noise)[1].tobytes())


def people(root, *names):
    """Live and spoof pictures of each person."""
    for name in names:
        picture(root, f"live/{name}/1.png", f"spoof/print/{name}/2.png")


def run(root, out, **kwargs):
    kwargs = {"detector": Everywhere(), "workers": 2} | kwargs
    return prepare.prepare("own_data", root, out, RECIPE, **kwargs)


def split_of(out):
    """The split of every person whose clips are in the prepared folder."""
    tables = [split.table for split in pipeline.open_dataset(out).splits.values()]
    found = {}
    for table in tables:
        for subject, split in zip(table["subject"], table["split"], strict=True):
            assert found.setdefault(str(subject), str(split)) == split
    return found


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


FIRST = [f"p{i:02d}" for i in range(10)]


@pytest.fixture
def prepared(tmp_path):
    root, out = tmp_path / "own", tmp_path / "out"
    people(root, *FIRST)
    run(root, out)
    return root, out, split_of(out)


def test_people_who_are_added_move_nobody(prepared, tmp_path):
    root, out, before = prepared
    people(root, *(f"n{i:02d}" for i in range(10)))
    run(root, out)
    after = split_of(out)
    assert before.items() <= after.items() and len(after) == 20
    # A fifth each, as if all had been there at once.
    assert sorted(after.values()).count("test") == 4
    assert sorted(after.values()).count("development") == 4
    # Another folder begins from the names alone, and equally every time.
    run(root, tmp_path / "a")
    run(root, tmp_path / "b")
    assert split_of(tmp_path / "a") == split_of(tmp_path / "b") != after


def test_people_who_leave_and_return_keep_their_split(prepared, tmp_path):
    root, out, before = prepared
    gone = [next(p for p in FIRST if before[p] == split) for split in sources.SPLITS]
    for name in gone:
        (root / f"live/{name}").rename(tmp_path / f"live_{name}")
        (root / f"spoof/print/{name}").rename(tmp_path / f"spoof_{name}")
    people(root, "new1", "new2", "new3")
    run(root, out)
    assert not set(gone) & set(split_of(out))
    recorded = {row["subject"]: row for row in rows(out / splits.FILE)}
    assert {recorded[name]["split"] for name in gone} == set(sources.SPLITS)
    assert {row["split_source"] for row in recorded.values()} == {"by subject"}
    for name in gone:
        (tmp_path / f"live_{name}").rename(root / f"live/{name}")
        (tmp_path / f"spoof_{name}").rename(root / f"spoof/print/{name}")
    run(root, out)
    assert before.items() <= split_of(out).items()


def test_a_renamed_folder_is_a_new_person(prepared):
    root, out, before = prepared
    for kind in ("live", "spoof/print"):
        (root / kind / "p00").rename(root / kind / "zoe")
    run(root, out)
    after = split_of(out)
    assert "p00" not in after and "zoe" in after
    assert {p: s for p, s in before.items() if p != "p00"}.items() <= after.items()


def test_nobody_trained_on_becomes_a_test_person_when_folders_go(tmp_path):
    """Split folders win while they are there, and their splits outlive them."""
    root, out = tmp_path / "own", tmp_path / "out"
    people(root, *FIRST)
    run(root, out)
    by_rule = split_of(out)
    moved = {"train": "test", "test": "development", "development": "train"}
    by_folder = {name: moved[split] for name, split in by_rule.items()}
    for name, split in by_folder.items():
        people(root / split, name)
        for path in (root / f"live/{name}/1.png", root / f"spoof/print/{name}/2.png"):
            path.unlink()
    run(root, out)
    assert split_of(out) == by_folder
    assert {row["split_source"] for row in rows(out / splits.FILE)} == {"folder"}
    (root / "train").rename(root / "x")
    (root / "test").rename(root / "y")
    (root / "development").rename(root / "z")
    people(root, *FIRST, "new")
    run(root, out)
    after = split_of(out)
    assert by_folder.items() <= after.items()
    recorded = {row["subject"]: row["split_source"] for row in rows(out / splits.FILE)}
    assert recorded.pop("new") == "by subject" and set(recorded.values()) == {"folder"}
    manifest = {row["subject"]: row for row in rows(out / prepare.MANIFEST)}
    assert manifest["p00"]["split_source"] == "folder"


def test_a_folder_prepared_without_the_record_keeps_its_splits(prepared):
    """The manifest tells them: of a folder from before, or when the file is lost."""
    root, out, before = prepared
    (out / splits.FILE).unlink()
    people(root, *(f"q{i:02d}" for i in range(10)))
    run(root, out)
    assert before.items() <= split_of(out).items()
    assert len(rows(out / splits.FILE)) == 20


def test_two_spellings_that_were_two_people_become_the_one_trained_on(prepared):
    root, out, _ = prepared
    forms = [unicodedata.normalize(form, "josé") for form in ("NFC", "NFD")]
    text = (out / splits.FILE).read_text()
    for order in ((0, 1), (1, 0)):
        a, b = (forms[i] for i in order)
        lines = f"{a},test,by subject\n{b},train,by subject\n"
        (out / splits.FILE).write_text(text + lines)
        people(root, *forms)
        run(root, out)
        assert split_of(out)["josé"] == "train"


def test_splits_may_be_edited_and_mistakes_are_named(prepared):
    root, out, before = prepared
    path = out / splits.FILE
    person = next(name for name, split in before.items() if split == "test")
    text = path.read_text()
    path.write_text(text.replace(f"{person},test", f"{person},development"))
    run(root, out)
    assert split_of(out) == before | {person: "development"}
    for wrong, message in (
        (text.replace(",test,", ",testing,"), "has the split 'testing'"),
        (text.replace(",", ";"), "lacks one of the columns subject, split"),
        ("subject,split,split_source\na\n", "lacks one of the columns"),
    ):
        path.write_text(wrong)
        with pytest.raises(InputError, match=message):
            run(root, out)
        assert path.read_text() == wrong


def test_official_splits_are_not_recorded(tmp_path):
    root = tmp_path / "oulu"
    picture(root, "x.png")
    one = base.VideoSource(root / "x.png", "x", "s", "oulu_npu", "live", 1, "test")
    assert splits.keep([one], tmp_path / "none") == [one]
    splits.write([one], tmp_path / splits.FILE)
    assert not (tmp_path / splits.FILE).exists()


def test_faces_of_people_who_left_are_removed(prepared):
    root, out, _ = prepared
    folder = (
        out
        / "extracted"
        / Recipe.hash.fget(prepare.make_tools(RECIPE, Everywhere()).recipe)
    )
    assert len(list(folder.iterdir())) == 20
    (folder / ".part-killed.clips").touch()
    for path in (root / "live/p00/1.png", root / "spoof/print/p00/2.png"):
        path.unlink()
    run(root, out)
    assert len(list(folder.iterdir())) == 18


def test_a_failed_second_run_leaves_no_mixed_folder(prepared):
    """Manifest and records are of the same files, or the folder is not complete."""
    root, out, _ = prepared
    (root / "spoof").rename(root / "attacks")
    with pytest.raises(InputError, match="No usable spoof clip"):
        run(root, out)
    with pytest.raises(InputError, match="No prepared data"):
        pipeline.open_dataset(out)
    (root / "attacks").rename(root / "spoof")
    assert run(root, out).clips == 20


def test_an_annotation_that_comes_later_is_used(tmp_path):
    """A file of boxes beside the videos changes what was extracted from them."""
    picture(tmp_path, "x.png")
    face = tmp_path / "x.face"
    plain = base.VideoSource(tmp_path / "x.png", "x", "s", "d", "live", 1, "train")
    noted = base.VideoSource(
        *(tmp_path / "x.png", "x", "s", "d", "live", 1, "train"),
        annotation=base.Sidecar(face, lambda path: None),
    )
    face.write_text("1")
    marks = [prepare._fingerprint(plain), prepare._fingerprint(noted)]
    face.write_text("22")
    marks.append(prepare._fingerprint(noted))
    assert marks[0] != marks[1] != marks[2] != marks[0]


LONG = 255 - len(".png")


@pytest.mark.parametrize("length", [LONG - 6, LONG - 3, LONG])
def test_names_as_long_as_the_system_allows(tmp_path, length):
    root, out = tmp_path / "own", tmp_path / "out"
    picture(root, f"live/{'a' * length}.png", "spoof/print/b.png")
    picture(root, f"live/{'c' * 255}/{'語' * (length // 3)}.png")
    summary = run(root, out)
    assert not summary.left_out and summary.clips == 3
    assert run(root, out).rows == summary.rows


def test_odd_names_end_in_rows(tmp_path):
    root, out = tmp_path / "own", tmp_path / "out"
    odd = [b"two\nlines", b'"q", it\'s; 50% #1', b"caf\xe9", b"cr\r", b"%s", b"a.png"]
    picture(root, *(f"live/{os.fsdecode(name)}.png" for name in odd))
    picture(
        root, f"spoof/{os.fsdecode(b'pr' + odd[1])}/x.png", "spoof/print/\u202e.png"
    )
    picture(root, f"spoof/{os.fsdecode(odd[2])}/{os.fsdecode(odd[0])}/y.png")
    summary = run(root, out)
    table = rows(out / prepare.MANIFEST)
    assert len(table) == len(odd) + 3
    left_out = {row["video"]: row["reason"] for row in summary.left_out}
    assert left_out == dict.fromkeys(
        ("live/caf%E9.png", "spoof/caf%E9/two%0Alines/y.png"),
        "its path is not valid UTF-8, rename it",
    )
    opened = pipeline.open_dataset(out).splits.values()
    clips = [record["clip"].decode() for split in opened for record in split.source]
    names = [name for split in opened for name in split.table["clip"].tolist()]
    assert clips == names and len(names) == summary.clips == len(odd) + 1
    # Every file of text is one line a row.
    assert len((out / prepare.MANIFEST).read_text().splitlines()) == len(table) + 1


def test_many_other_files_are_rows_and_one_line_of_output(tmp_path):
    root, out = tmp_path / "own", tmp_path / "out"
    people(root, "ann")
    for i in range(2000):
        path = root / f"live/ann/notes/{i}.txt"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    detector = Everywhere()
    summary = run(root, out, detector=detector)
    table = rows(out / prepare.MANIFEST)
    assert len(table) == 2002 and summary.clips == 2
    assert [row["status"] for row in table[:2]] == ["ok", "ok"]
    assert {row["reason"] for row in table[2:]} == {
        "files ending in '.txt' are not read"
    }
    [folder] = (out / "extracted").iterdir()
    assert len(list(folder.iterdir())) == 2


# Suffix to the codec and, for pictures, none: all are read by the installed OpenCV.
VIDEOS = {
    **{"3gp": "mp4v", "3g2": "mp4v", "wmv": "WMV2", "asf": "WMV2", "flv": "FLV1"},
    **{"ts": "mp4v", "mts": "mp4v", "m2ts": "mp4v", "vob": "mpg2", "ogv": "VP80"},
    **{"mxf": "mpg2", "mjpeg": "MJPG", "mpg": "mpg1", "mkv": "mp4v", "mov": "mp4v"},
}
PICTURES = (
    *("avif", "bmp", "dib", "jp2", "jpe", "jpeg", "jpg", "pgm", "png", "pnm", "ppm"),
    *("tif", "tiff", "webp"),
)
SAME = {"jfif": "jpg", "mpo": "jpg", "apng": "png", "j2k": "jp2"}


def test_what_opencv_reads_is_read(tmp_path, capfd):
    root, out = tmp_path / "own", tmp_path / "out"
    picture(root, "spoof/print/x.png")
    frames = np.random.default_rng(0).integers(0, 255, (12, 144, 176, 3), np.uint8)
    (root / "live").mkdir()
    written = set()
    for suffix, codec in VIDEOS.items():
        path = root / f"live/v_{suffix}.{suffix}"
        code = cv2.VideoWriter.fourcc(*codec)
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, 25, (176, 144))
        for frame in frames:
            writer.write(frame)
        writer.release()
        written.add(f"live/v_{suffix}.{suffix}")
    for suffix in PICTURES:
        image = frames[0] if suffix != "pgm" else frames[0, ..., 0]
        assert cv2.imwrite(str(root / f"live/p_{suffix}.{suffix}"), image)
        written.add(f"live/p_{suffix}.{suffix}")
    for suffix, like in SAME.items():
        content = (root / f"live/p_{like}.{like}").read_bytes()
        (root / f"live/s_{suffix}.{suffix}").write_bytes(content)
        written.add(f"live/s_{suffix}.{suffix}")
    capfd.readouterr()
    summary = run(root, out)
    assert {row["video"] for row in summary.rows if row["status"] == "ok"} == {
        *written,
        "spoof/print/x.png",
    }
    assert summary.left_out == []


def test_an_animation_is_a_video(tmp_path):
    from PIL import Image

    root = tmp_path / "own"
    picture(root, "spoof/print/x.png")
    (root / "live").mkdir()
    frames = [Image.fromarray(np.full((48, 64), 20 * i, np.uint8)) for i in range(9)]
    frames[0].save(root / "live/a.gif", save_all=True, append_images=frames[1:])
    frames[0].save(root / "live/still.gif")
    summary = run(root, tmp_path / "out")
    of = {row["video"]: row for row in summary.rows}
    assert (of["live/a.gif"]["frames"], of["live/a.gif"]["status"]) == (9, "ok")
    assert of["live/still.gif"]["reason"] == "1 frames, but a clip needs 7"


def command(name, workdir, **flags):
    config = smoke.config("own_data")
    config.data.image_size = 16
    if "manual_dir" in flags:
        flags["dataset"] = "own_data"
    smoke.execute(name, workdir, config, **flags)


def test_the_command_names_what_is_misplaced_and_missing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(faces, "Haar", Everywhere)
    root = tmp_path / "own"
    people(root / "train", "ann")
    people(root / "live", "bob", "cat")
    picture(root, "holdout/live/x.png", "dev/live/dora/1.png")
    command("prepare", tmp_path / "run", manual_dir=str(root))
    text = capsys.readouterr().out
    assert "4: outside train/, development/ and test/, in live/ (live/live/bob" in text
    assert "1: outside train/, development/ and test/, in holdout/" in text
    assert "warning: no spoof clip for development;" in text
    assert "warning: no live and no spoof clip for test;" in text


def test_counts_of_a_folder_are_those_that_preparing_would_keep(tmp_path, capsys):
    root, out = tmp_path / "own", tmp_path / "run/data"
    people(root, *FIRST)
    run(root, out)
    people(root, *(f"n{i:02d}" for i in range(10)))
    command("data stats", tmp_path / "run", manual_dir=str(root))
    before = capsys.readouterr().out
    run(root, out)
    tables = [
        split.table["subject"] for split in pipeline.open_dataset(out).splits.values()
    ]
    for split, subjects in zip(sources.SPLITS, tables, strict=True):
        line = next(line for line in before.splitlines() if f"│ {split} " in line)
        assert line.split("│")[-2].strip() == str(len(set(subjects)))


def test_names_with_markup_are_shown_as_they_are(tmp_path, capsys):
    """Tables and pictures take brackets, colons and dollar signs for what they are."""
    root, out = tmp_path / "own[" / "b]", tmp_path / "run/data"
    kinds = ["[bold]x", "$\\frac$", ":smile:", "a$b$_"]
    picture(root, "live/$x^$.png", *(f"spoof/{kind}/x/1.png" for kind in kinds))
    picture(root, f"spoof/print/{os.fsdecode(b'caf' + bytes([233]))}.png")
    run(root, out)
    for flags in ({}, {"manual_dir": str(root)}):
        command("data stats", tmp_path / "run", **flags)
        text = capsys.readouterr().out
        assert all(f"│ {kind} " in text for kind in kinds)
        command("data show", tmp_path / "run", output=str(tmp_path), **flags)
    assert "not shown:" in capsys.readouterr().out
    opened = pipeline.open_dataset(out).splits.values()
    names = [name for part in opened for name in part.table["attack_type"]]
    shown = types.SimpleNamespace(
        score=np.linspace(0, 1, len(names)), attack_type=np.array(names)
    )
    assert figures.score_histograms(shown, 0.5).data
