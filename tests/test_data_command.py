"""``nasfas data list | info | stats | show`` on small folders."""

import pathlib
import re

import cv2
import numpy as np
import pytest
import smoke

from nasfas_jax import main
from nasfas_jax.data import protocols
from nasfas_jax.data.datasets import REGISTRY
from nasfas_jax.data.preparation import faces, prepare
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError

ROOT = pathlib.Path(__file__).parents[1]


def run(what, workdir, **flags):
    smoke.execute(f"data {what}", workdir, **flags)


def write_video(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    fourcc = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, 25, (64, 48))
    for frame in range(12):
        writer.write(np.full((48, 64, 3), level + frame, np.uint8))
    writer.release()


class Everywhere:
    """Sees the same face in every picture."""

    name = "everywhere"

    def __call__(self, image):
        return faces.Face(np.array([20.0, 10, 24, 30]))


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    root = tmp_path_factory.mktemp("own")
    for i, part in enumerate(("train", "development", "test")):
        write_video(root / part / "live" / f"ann{i}" / "a.avi", 60 + i)
        write_video(root / part / "spoof" / "print" / f"bob{i}" / "b.avi", 120 + i)
        write_video(root / part / "spoof" / "replay" / f"cat{i}" / "c.avi", 180 + i)
    (root / "train" / "live" / "broken.avi").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def prepared(collection, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    settings = Recipe(image_size=16, clips_per_video=2, method="harmonic")
    prepare.prepare("own_data", collection, folder, settings, detector=Everywhere())
    return folder


def test_list_names_every_dataset_and_protocol(tmp_path, capsys):
    run("list", tmp_path)
    text = capsys.readouterr().out
    missing = [n for n in (*REGISTRY, *protocols.names()) if f" {n} " not in text]
    assert not missing
    assert "train 240/960" in text and "288/864 or 288/858" in text


def test_families_of_folds_are_listed_and_printed_for_a_loop(tmp_path, capsys):
    run("list", tmp_path)
    families = {cells[0]: cells[1] for cells in rows(capsys.readouterr().out)}
    assert all(families[name] == str(len(f)) for name, f in protocols.FOLDS.items())
    run("list", tmp_path, protocol="oulu_npu@3")
    assert capsys.readouterr().out.split() == list(protocols.FOLDS["oulu_npu@3"])
    with pytest.raises(InputError, match=r"no family of folds 'OULU@3'; .* oulu_npu@3"):
        run("list", tmp_path, protocol="OULU@3")


@pytest.mark.parametrize("name", REGISTRY)
def test_info_says_what_is_known(name, tmp_path, capsys):
    run("info", tmp_path, dataset=name)
    text = capsys.readouterr().out
    dataset = REGISTRY[name]
    for fact in ("layout", "live and spoof", "protocols", dataset.title):
        assert fact in text
    assert dataset.citation.strip() in text
    one_line = re.sub(r"[\s│]+", " ", text)
    assert re.sub(r"\s+", " ", dataset.layout) in one_line


def rows(text):
    """The table's cells, a list for each line."""
    lines = [line for line in text.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def test_stats_of_a_folder(collection, tmp_path, capsys):
    run("stats", tmp_path, dataset="own_data", manual_dir=str(collection))
    cells = rows(capsys.readouterr().out)
    assert ["train", "own_data", "live", "2", "2"] in cells
    assert ["test", "own_data", "replay", "1", "1"] in cells
    assert cells[-1] == ["all", "", "", "10", "10"]


def test_stats_of_prepared_data(prepared, tmp_path, capsys):
    run("stats", tmp_path, data_dir=str(prepared))
    text = capsys.readouterr().out
    assert ["train", "own_data", "live", "2", "2", "2"] in rows(text)
    assert rows(text)[-1] == ["all", "", "", "10", "10", "18"]
    assert "1 files left out:" in text and "broken.avi" in text and "empty" in text
    assert re.search(r"recipe [0-9a-f]{10}: .*image_size=16", text)


@pytest.mark.parametrize("prepared_already", [False, True])
def test_stats_of_a_protocol(prepared_already, collection, prepared, tmp_path, capsys):
    where = {"data_dir": str(prepared)} if prepared_already else {}
    where = where or {"manual_dir": str(collection)}
    run("stats", tmp_path, protocol="own_data@all", **where)
    text = capsys.readouterr().out
    lists = protocols.get("own_data@all").lists(
        {"own_data": REGISTRY["own_data"].list_videos(collection)}
    )
    assert f"lists {lists.hash}" in text
    assert "no official counts are known" in text


@pytest.mark.parametrize("flags", [{}, {"protocol": "own_data@all"}])
def test_show_writes_a_contact_sheet(flags, collection, prepared, tmp_path, capsys):
    for i, where in enumerate(({"manual_dir": collection}, {"data_dir": prepared})):
        folder = tmp_path / str(i)
        where = {name: str(path) for name, path in where.items()}
        run("show", tmp_path, dataset="own_data", output=str(folder), **where, **flags)
        said = capsys.readouterr().out
        assert said.endswith(f"{folder / 'contact_sheet.png'}\n")
        # The empty file is the last live one of the folder's list.
        named = "broken.avi: the file is empty" in said
        assert named == ("manual_dir" in where and not flags)
        sheet = cv2.imread(str(folder / "contact_sheet.png"))
        assert sheet.shape[1] > 1000
        levels = np.unique(sheet[sheet.std(-1) < 3].mean(-1).round(-1))
        assert {60, 120, 180} <= set(levels.tolist())


def test_wrong_input_is_said(collection, tmp_path):
    with pytest.raises(InputError, match="nothing"):
        run("info", tmp_path, dataset="nothing")
    with pytest.raises(InputError, match="no protocol 'nothing@1'"):
        run("stats", tmp_path, protocol="nothing@1", manual_dir=str(collection))
    with pytest.raises(InputError, match="nowhere"):
        run("stats", tmp_path, data_dir="nowhere")
    with pytest.raises(InputError, match=r"None of 1 videos.* can be read .*empty"):
        (tmp_path / "live").mkdir()
        (tmp_path / "live" / "a.avi").write_bytes(b"")
        run("show", tmp_path, dataset="own_data", manual_dir=str(tmp_path))
    file = tmp_path / "live" / "a.avi"
    with pytest.raises(
        InputError, match=r"a\.avi cannot be read or written: .*is a file"
    ):
        where = {"manual_dir": str(collection), "output": str(file)}
        run("show", tmp_path, dataset="own_data", **where)


def test_usage_names_the_subcommands(capsys):
    with pytest.raises(SystemExit, match="0"):
        main.parse(["nasfas", "data", "--help"])
    said = capsys.readouterr().out
    assert all(f"data {what} " in said for what in ("list", "info", "stats", "show"))
