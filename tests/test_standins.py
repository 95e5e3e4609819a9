"""Stand-ins of the nine datasets: from files on disk to error rates, and their traps."""

import json
import pathlib

import cv2
import h5py
import numpy as np
import pytest
import smoke
from clock import within

from nasfas_jax import evaluation, synthetic
from nasfas_jax.data import datasets, protocols
from nasfas_jax.data.datasets import sources
from nasfas_jax.data.loading import pipeline, select
from nasfas_jax.data.media import video
from nasfas_jax.data.preparation import faces, prepare
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError
from nasfas_jax.synthetic import standins
from nasfas_jax.synthetic.standins import shot

ROOT = pathlib.Path(__file__).parents[1]
NINE = tuple(standins.LAYOUTS)
TINY = {"frames": 8, "face_size": 32, "distinct": 1}
RECIPE = Recipe(image_size=16, frames=3, clips_per_video=1, method="harmonic")
WITHIN = [
    name for name in protocols.names() if set(protocols.get(name).datasets) <= set(NINE)
]


class Middle:
    """Sees a face in the middle of every picture, for sets without annotations."""

    name = "middle"

    def __call__(self, image):
        rows, columns = image.shape[:2]
        return faces.Face(np.array([columns / 2 - 9, rows / 2 - 12, 18.0, 24]))


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """A folder of the nine trees, by their names."""
    root = tmp_path_factory.mktemp("trees")
    for name in NINE:
        standins.write(name, root / name, **TINY)
    return root


@pytest.fixture(scope="module")
def prepared(trees, tmp_path_factory):
    """A folder of the nine prepared datasets, and what preparing said."""
    root = tmp_path_factory.mktemp("prepared")
    return root, {
        name: prepare.prepare(
            name, trees / name, root / name, RECIPE, detector=Middle(), workers=1
        )
        for name in NINE
    }


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The nine trees with all people, of empty files; seconds to list them."""
    root = tmp_path_factory.mktemp("full")
    for name in NINE:
        standins.write(name, root / name, empty=True)
    return root


def listed(root):
    return {name: sources.list_videos(name, root / name) for name in NINE}


def first(root, pattern):
    """A video's frames, BGR [T, H, W, 3], as the wheel decodes them."""
    path = sorted(root.glob(pattern))[0]
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    capture.release()
    return np.stack(frames)


@pytest.mark.parametrize("name", NINE)
def test_every_reader_finds_every_file(trees, name):
    found = sources.list_videos(name, trees / name)
    written = {file.path: file for file in standins.plan(name)}
    enrolled = {path for path in written if path.startswith("enroll/")}
    assert {one.video for one in found} == written.keys() - enrolled
    assert not [one.problem for one in found if one.problem]
    for one in found:
        assert (one.attack_type == "live") == (written[one.video].attack_type == "live")
    types = {one.attack_type for one in found} - {"live"}
    assert types == set(datasets.REGISTRY[name].attack_types)


@pytest.mark.parametrize("name", NINE)
def test_every_file_becomes_a_clip(prepared, name):
    summary = prepared[1][name]
    assert not summary.left_out and summary.clips == len(summary.rows) > 40
    annotated = name not in ("siw_m", "hkbu_mars", "casia_surf_3dmask")
    source = "annotation" if annotated else "middle"
    assert {row["box_source"] for row in summary.rows} == {source}


def test_records_of_a_stand_in_of_another_version_are_refused(prepared, tmp_path):
    about = json.loads((prepared[0] / "siw" / "recipe.json").read_text())
    assert about["source_version"] == synthetic.FORMAT["version"]
    (tmp_path / "recipe.json").write_text(json.dumps(about | {"source_version": 1}))
    with pytest.raises(
        InputError, match=r"stand-in of 'siw' of version 1, .* write the stand-in"
    ):
        pipeline.open_dataset(tmp_path)
    assert standins.version_of(tmp_path / "video.mp4") is None


@pytest.mark.parametrize("name", WITHIN)
def test_every_protocol_ends_in_error_rates(prepared, name):
    protocol = protocols.get(name)
    several = len(protocol.datasets) > 1
    folder = prepared[0] if several else prepared[0] / protocol.datasets[0]
    data = select.open_protocol(folder, protocol)
    lists = data.lists
    tables = {part: data.splits[part].table for part in ("development", "test")}
    columns = {
        field: np.concatenate([table[field] for table in tables.values()])
        for field in ("clip", "subject", "domain", "attack_type", "label")
    }
    split = [np.full(len(table["clip"]), part) for part, table in tables.items()]
    noise = np.random.default_rng(0).normal(size=len(columns["label"]))
    table = evaluation.ScoreTable(
        **columns, score=columns["label"] + noise, split=np.concatenate(split)
    )
    result = evaluation.evaluate(table, samples=0)
    tested = lists.counts["test"]
    assert result.test_counts.videos == tested["live"] + tested["spoof"]
    assert 0 < result.auc <= 1 and 0 <= result.test.hter <= 1


def test_whole_trees_have_the_official_counts(full):
    found = listed(full)
    exact = {"oulu_npu", "casia_mfsd", "replay_attack", "msu_mfsd", *_masks()}
    for name in WITHIN:
        protocol = protocols.get(name)
        if set(protocol.datasets) <= exact:
            protocol.lists(found).check(whole=True)
    assert sum(one.label for one in found["siw_m"]) == 660


def _masks():
    return "three_dmad", "hkbu_mars", "casia_surf_3dmask"


def test_4950_names_become_lists_in_time(full):
    def listed():
        found = sources.list_videos("oulu_npu", full / "oulu_npu")
        for name in protocols.names("oulu_npu")[:14]:
            protocols.get(name).lists({"oulu_npu": found})
        return found

    assert len(within(5, listed)) == 4950


def test_oulu_lists_are_written_as_the_official_ones(trees):
    folder = trees / "oulu_npu" / "Protocols"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*.txt")}
    assert len(names) == 2 * 3 + 2 * 18 and "Protocol_4/Dev_6.txt" in names
    lines = (folder / "Protocol_4/Test_2.txt").read_text().split()
    assert lines == ["+1,2_3_36_1", "-1,2_3_36_3", "-2,2_3_36_5"]


def test_replay_lists_count_as_the_protocols_do(full):
    folder = full / "replay_attack" / "protocols"
    attacks = {"grandtest": 1000, "print": 200, "mobile": 400, "highdef": 400}
    attacks |= {"photo": 600, "video": 400, "digitalphoto": 400}
    for name, count in attacks.items():
        files = folder.glob(f"attack-{name}-allsupports-*.txt")
        assert sum(len(path.read_text().split()) for path in files) == count
    assert len((folder / "clients.txt").read_text().splitlines()) == 50
    path = (folder / "real-devel.txt").read_text().split()[0]
    assert (full / "replay_attack" / path).exists()


def test_annotations_are_the_renderers(tmp_path):
    standins.write("msu_mfsd", tmp_path, subjects=1, **TINY)
    file = standins.plan("msu_mfsd", subjects=1)[-1]
    (one,) = (
        v for v in sources.list_videos("msu_mfsd", tmp_path) if v.video == file.path
    )
    known = one.annotation(one.path)
    frames = first(tmp_path, file.path)
    assert len(known.boxes) == len(frames) == 8
    x, y, width, height = known.boxes.mean(0)
    assert 16 < width < height < 48
    assert 0 < x < frames.shape[2] - width and 0 < y < frames.shape[1] - height
    assert (known.eyes[:, 0, 0] < known.eyes[:, 1, 0]).all()
    inside = (known.eyes - known.boxes[:, None, :2]) / known.boxes[:, None, 2:]
    assert ((inside > 0.05) & (inside < 0.95)).all()


def test_fitting_moves_what_is_known_along():
    clip = synthetic.render(
        synthetic.VideoSpec(
            domain="dom_c", attack_type="live", subject_seed=1, seed=2, frames=2
        )
    )
    fitted = shot.fit(clip, 3 / 4)
    rows, columns = fitted.frames.shape[1:3]
    assert abs(columns / rows - 3 / 4) < 0.03
    x, y = np.round(clip.eyes[0, 0]).astype(int)
    there = np.round(fitted.eyes[0, 0]).astype(int)
    np.testing.assert_array_equal(
        fitted.frames[0, there[1], there[0]], clip.frames[0, y, x]
    )


def test_a_kinect_sees_the_relief_of_faces_and_masks(trees):
    found = sources.list_videos("three_dmad", trees / "three_dmad")
    for session, label in (("1", 1), ("3", 0)):
        one = next(v for v in found if v.attributes["session"] == session)
        assert one.label == label
        with h5py.File(one.path) as file:
            count, channels, *picture = file["Color_Data"].shape
            assert (count, channels) == (8, 3)
            assert file["Depth_Data"].shape == (8, 1, *picture)
            assert file["Eye_Pos"].shape == (8, 4)
            depth, eyes = file["Depth_Data"][0, 0], file["Eye_Pos"][0]
        assert eyes[0] < eyes[2] and depth.dtype == np.uint16 and depth.max() == 2047
        between = depth[int(eyes[[1, 3]].mean()), int(eyes[[0, 2]].mean())]
        assert between < 950 < depth[0, 0]
        seen = one.annotation(one.path).depth[0]
        assert seen[32, 32] > 150 and seen[0, 0] == 0


def test_a_worn_mask_moves_as_the_face_whose_relief_it_gets():
    spec = synthetic.VideoSpec(
        domain="dom_i", attack_type="mannequin", subject_seed=1, seed=2, frames=3
    )
    bare = synthetic.VideoSpec(
        domain="dom_i", attack_type="live", subject_seed=1, seed=2, frames=3
    )
    masked, live = synthetic.render(spec), synthetic.render(bare)
    np.testing.assert_allclose(masked.boxes, live.boxes, atol=6)


def test_turned_files_come_out_upright(trees):
    root = trees / "hkbu_mars"
    upright = first(root, "real/09/01_01_09.avi").astype(int)
    for camera, turn in (("04", 90), ("05", 270), ("06", 270)):
        path = root / f"real/09/{camera}_01_09.avi"
        stored = first(root, f"real/09/{camera}_01_09.avi")
        assert stored.shape[1:3] == upright.shape[2:0:-1]
        (_, images), *_ = video.read_clips(path, lambda total: [total - 1], 3, turn)
        assert np.abs(images[-1] - upright[-1]).mean() < 12
    assert (root / "attack/09/01_01_9.avi").exists()


def test_a_tag_in_the_container_is_obeyed_once(trees):
    """Client 005 says that it is upside down, client 003 does not; both come upright."""
    root = trees / "msu_mfsd" / "scene01" / "real"
    laptop = sources.list_videos("msu_mfsd", trees / "msu_mfsd")
    rotate = {one.path.name: one.rotate for one in laptop}
    for client, obeyed in (("005", True), ("003", False)):
        name = f"real_client{client}_android_SD_scene01.mp4"
        capture = cv2.VideoCapture(str(root / name))
        assert capture.get(cv2.CAP_PROP_ORIENTATION_META) == (180 if obeyed else 0)
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        stored = capture.read()[1]
        capture.release()
        (_, images), *_ = video.read_clips(
            root / name, lambda total: [2], 3, rotate[name]
        )
        turned = stored[::-1, ::-1].astype(int)
        assert np.abs(images[0] - turned).mean() < 2
        assert np.abs(images[0] - stored.astype(int)).mean() > 10


def test_names_have_their_traps(full):
    siw = sources.list_videos("siw", full / "siw")
    odd = [one for one in siw if one.video.endswith("-2.m.mov")]
    assert len(odd) == 16 and {one.split for one in odd} == {"test"}
    masks = sources.list_videos("casia_surf_3dmask", full / "casia_surf_3dmask")
    short = [one for one in masks if one.subject.endswith("0927_021") and not one.label]
    assert len(short) == 12 and sum(not one.label for one in masks) == 858


def test_an_interrupted_call_goes_on(tmp_path):
    settings = {"subjects": 1, **TINY}
    paths = standins.write("casia_mfsd", tmp_path, **settings)
    before = {path: path.read_bytes() for path in paths}
    paths[3].unlink()
    kept = paths[0].stat().st_mtime_ns
    done = []
    again = standins.write(
        "casia_mfsd", tmp_path, progress=lambda *at: done.append(at), **settings
    )
    assert again == paths and done[-1] == (24, 24)
    assert {path: path.read_bytes() for path in paths} == before
    assert paths[0].stat().st_mtime_ns == kept
    assert json.loads((tmp_path / "standin.json").read_text())["complete"]
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_the_command_writes_where_it_says(tmp_path, capsys):
    config = smoke.config()
    config.standin.subjects = 1
    folder = tmp_path / "standins" / "msu_mfsd"
    smoke.execute("synthesize", None, config, layout="msu_mfsd", output=folder)
    assert f"16 synthetic videos in the layout of msu_mfsd in {folder}" in (
        capsys.readouterr().out
    )
    assert len(sources.list_videos("msu_mfsd", folder)) == 16
    with pytest.raises(InputError, match="--layout is missing: one of oulu_npu"):
        smoke.execute("synthesize", None, config)
    del config.standin
    with pytest.raises(InputError, match=r"config\.standin: this section is missing"):
        smoke.execute("synthesize", None, config, layout="siw")


def test_wrong_input_is_named(tmp_path):
    with pytest.raises(InputError, match="There is no layout 'oulu'"):
        standins.write("oulu", tmp_path)
    with pytest.raises(InputError, match=r"subjects: expected .* 1 or more, got 0"):
        standins.write("oulu_npu", tmp_path, subjects=0)
    with pytest.raises(InputError, match=r"face_size: expected .* 24 to 1024, got 3"):
        standins.write("siw", tmp_path, face_size=3)
    with pytest.raises(InputError, match=r"distinct: expected .* 1 or more, got 0"):
        standins.write("siw", tmp_path, distinct=0)
    assert not list(tmp_path.iterdir())
    standins.write("msu_mfsd", tmp_path / "a", empty=True, subjects=1)
    with pytest.raises(InputError, match="other settings"):
        standins.write("msu_mfsd", tmp_path / "a", empty=True, subjects=2)
    with pytest.raises(InputError, match="not empty and holds no stand-in: a"):
        standins.write("msu_mfsd", tmp_path)
    (tmp_path / "a" / "standin.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        standins.write("msu_mfsd", tmp_path / "a", empty=True, subjects=1)
