"""The synthetic set: its plan, and the differences between live and spoof."""

import dataclasses

import cv2
import numpy as np
import pytest
from small_videos import TINY, specs_of

from nasfas_jax import synthetic
from nasfas_jax.errors import InputError
from nasfas_jax.synthetic import disguise, display, geometry, live, scene, stage
from nasfas_jax.synthetic.head import build_head
from nasfas_jax.synthetic.stage import person, set_stage

KINDS = ("print", "replay", "mannequin")


@pytest.fixture(scope="module")
def moving():
    """One clip of each type, long enough to blink and to move."""
    settings = {"frames": 24, "face_size": 48, "attacks": KINDS}
    specs = {kind: specs_of(kind, **settings)[0] for kind in ("live", *KINDS)}
    specs["print"] = dataclasses.replace(specs["print"], variant="flat")
    return {kind: synthetic.render(spec) for kind, spec in specs.items()}


def test_people_are_in_one_domain_and_one_split():
    specs = synthetic.plan(subjects_per_domain=(3, 2, 2))
    homes = {(s.subject, s.domain, s.split) for s in specs}
    assert len(homes) == len({s.subject for s in specs}) == 4 * 7
    assert len({s.subject_seed for s in specs}) == len(homes)
    assert len({s.video for s in specs}) == len({s.seed for s in specs}) == len(specs)
    assert {s.split for s in specs} == set(synthetic.SPLITS)
    kinds = {s.attack_type for s in specs}
    masks = set(synthetic.BY_MACRO_TYPE["mask"])
    assert kinds == {"live", "print", "replay"} | masks
    several = synthetic.plan(attacks=("makeup", "cosmetic"), **TINY)
    assert sum(s.label == 0 for s in several) == 8


def test_macro_types_hold_every_attack_once():
    held = [kind for kinds in synthetic.BY_MACRO_TYPE.values() for kind in kinds]
    assert sorted(held) == sorted(synthetic.ATTACKS) and len(held) == 13


def test_the_same_person_sits_in_every_video_of_a_subject():
    specs = synthetic.plan(**TINY)
    people = {s.subject: repr(person(s)) for s in specs}
    assert all(repr(person(s)) == people[s.subject] for s in specs)
    assert len(set(people.values())) == len(people)


def test_rendering_depends_on_the_spec_alone():
    for kind in ("live", *KINDS):
        spec = specs_of(kind, attacks=KINDS)[1]
        first, second = synthetic.render(spec), synthetic.render(spec)
        for field in dataclasses.fields(first):
            a, b = getattr(first, field.name), getattr(second, field.name)
            np.testing.assert_array_equal(a, b)
        other = synthetic.render(dataclasses.replace(spec, seed=spec.seed + 1))
        assert (other.frames != first.frames).any()


def test_box_motion_is_the_same_for_live_and_every_attack():
    """Size, position and motion of the box depend on the seed of the clip alone."""
    ask = {"domain": "dom_c", "subject_seed": 5, "seed": 8, "frames": 4}
    kinds = ("live", *synthetic.ATTACKS)
    clips = [
        synthetic.render(synthetic.VideoSpec(attack_type=kind, face_size=32, **ask))
        for kind in kinds
    ]
    for clip in clips:
        boxes = clip.boxes
        np.testing.assert_allclose(boxes[:, 3], clips[0].boxes[:, 3], rtol=2e-3)
        middle = boxes[:, :2] + boxes[:, 2:] / 2
        wanted = clips[0].boxes[:, :2] + clips[0].boxes[:, 2:] / 2
        np.testing.assert_allclose(middle, wanted, atol=0.1)
    pictures = [clip.frames[0].astype(float) for clip in clips]
    for one, kind in zip(pictures[1:], kinds[1:], strict=True):
        assert np.abs(one - pictures[0]).mean() > 0.5, kind


@pytest.mark.parametrize("kind", list(synthetic.ATTACKS))
def test_every_variant_of_an_attack_has_its_own_picture(kind):
    ask = {"domain": "dom_m", "subject_seed": 3, "seed": 4, "face_size": 32}
    pictures = [
        synthetic.render(
            synthetic.VideoSpec(attack_type=kind, variant=variant, frames=1, **ask)
        ).frames
        for variant in synthetic.ATTACKS[kind]
    ]
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)
    drawn = synthetic.render(synthetic.VideoSpec(attack_type=kind, frames=1, **ask))
    assert any((drawn.frames == picture).all() for picture in pictures)


def homography_residual(marks):
    """Mean distance, in face widths, of landmarks from their best plane motion."""
    spread = np.ptp(marks, axis=(0, 1)).mean()
    worst = 0.0
    for later in marks[1:]:
        matrix, _ = cv2.findHomography(marks[0], later)
        moved = cv2.perspectiveTransform(marks[:1], matrix)[0]
        worst = max(worst, float(np.linalg.norm(moved - later, axis=1).mean()))
    return worst / spread


def test_live_has_parallax_and_a_print_moves_as_a_plane(moving):
    flat = homography_residual(moving["print"].landmarks)
    for kind in ("live", "mannequin"):
        assert homography_residual(moving[kind].landmarks) > 5 * flat + 0.002


def test_live_blinks_and_a_mannequin_does_not(moving):
    assert moving["live"].open_.min() < 0.3 < 0.8 < moving["live"].open_.max()
    for kind in ("print", "mannequin"):
        assert np.ptp(moving[kind].open_) == 0


def test_boxes_follow_a_face_and_not_its_jitter():
    corners = np.array([[0, 0], [40, 60]], np.float32)
    still = np.tile(corners, (24, 1, 1))
    drift = still + np.linspace(0, 20, 24, dtype=np.float32)[:, None, None]
    np.testing.assert_allclose(stage.track_boxes(still)[:, 2:], [[40, 60]] * 24)
    tracked = stage.track_boxes(drift)[8:-8, 0]
    np.testing.assert_allclose(tracked, drift[8:-8, 0, 0], atol=1e-3)
    repeated = drift[np.arange(24) // 2 * 2]  # every other frame is shown twice
    change = np.abs(np.diff(stage.track_boxes(repeated)[8:-8, 0], 2)).max()
    assert change < 0.05 * np.abs(np.diff(repeated[:, 0, 0], 2)).max()


@pytest.mark.parametrize("rate", [0.8, 0.96, 1.0, 1.2])
def test_a_played_video_lasts_as_long_as_the_clip(rate):
    times = np.arange(16) / 25
    played = display.played_times(times, rate)
    shown = display.shown_frames(16, rate)
    assert shown[0] == 0 and shown[-1] == len(played) - 1
    assert np.abs(played[shown] - times).max() <= 0.5 / (25 * rate) + 1e-9


def test_skin_has_a_pulse_and_a_mannequin_none():
    """Blood absorbs green light at the rate of the heart, where living skin is visible."""
    who = person(specs_of("live")[0])
    head = build_head(who, 20.0)
    cheek = tuple(np.round([head.chart.rows(0.5), head.chart.columns(0.5)]).astype(int))
    assert head.blood[cheek][1] > 4 * head.blood[cheek][0] > 0
    behavior = scene.behave(np.random.default_rng(0), np.arange(50) / 25)
    rate = np.argmax(np.abs(np.fft.rfft(behavior.pulse))) / 2.0
    assert 40 <= 60 * rate <= 130
    assert 0.002 < 0.55 * np.ptp(behavior.pulse) < 0.05  # of the green light
    masked, under = disguise.put_on("resin", head, behavior, np.random.default_rng(1))
    assert masked.blood[cheek].max() < 1e-6  # nothing of the skin is seen
    assert not under.mouth.any() and np.ptp(under.open_) == 0
    painted, under = disguise.put_on("paint", head, behavior, np.random.default_rng(1))
    assert under is behavior and painted.blood.sum() < head.blood.sum()
    np.testing.assert_array_equal(painted.height, head.height)


def test_a_silicone_mask_bends_less_than_a_face():
    head = build_head(person(specs_of("live")[0]), 16.0)
    behavior = scene.behave(np.random.default_rng(3), np.arange(50) / 25)
    _, under = disguise.put_on("silicone", head, behavior, np.random.default_rng(1))
    assert 0 < np.ptp(under.smile) < np.ptp(behavior.smile)
    np.testing.assert_array_equal(under.open_, behavior.open_)  # holes: eyes blink


def test_depth_is_true_and_only_of_live(moving):
    clip = moving["live"]
    for kind in KINDS:
        assert not moving[kind].depth.any()
    for depth, contour in zip(clip.depth, clip.contour, strict=True):
        assert ((depth > 0) == (contour > 0)).all()
        assert depth.max() == 255 and depth[depth > 0].min() == 26
    cells = clip.depth.shape[1]
    scale = cells / clip.depth_box[0, 2]
    nose, cheek, brow = (
        np.round(
            (clip.landmarks[0, live.LANDMARKS.index(name)] - clip.depth_box[0, :2])
            * scale
        ).astype(int)
        for name in ("nose_tip", "cheek_left", "forehead")
    )
    depth = clip.depth[0].astype(int)
    assert depth[nose[1], nose[0]] > 190
    assert depth[nose[1], nose[0]] > depth[cheek[1], cheek[0]] + 20
    assert depth[nose[1], nose[0]] > depth[brow[1], brow[0]] + 10


def test_contours_fill_the_box(moving):
    for clip in moving.values():
        rows = (clip.contour > 0).any(2).sum(1) / clip.contour.shape[1]
        expected = clip.boxes[:, 3] / clip.depth_box[:, 3]
        np.testing.assert_allclose(rows, expected, atol=0.04)
        inside = (clip.eyes > clip.boxes[:, None, :2]) & (
            clip.eyes < clip.boxes[:, None, :2] + clip.boxes[:, None, 2:]
        )
        assert inside.all()
        assert (clip.eyes[:, 0, 0] < clip.eyes[:, 1, 0]).all()


def test_a_ray_sees_the_point_that_projects_to_it():
    """Projection and its inverse agree on a curved surface, where nothing hides."""
    times = np.zeros(1)
    rotation = geometry.rotations(times + 0.2, times - 0.1, times + 0.05)
    shift = np.array([[0.1, -0.2, 0.0]], np.float32)
    track = geometry.Track(rotation, shift, 30.0, (128, 128))

    def height(x, y):
        return 1.0 - 0.3 * x * x - 0.2 * y * y

    grid = geometry.Grid(left=40, top=38, columns=9, rows=10, side=5)
    columns, rows = np.meshgrid(42 + 5 * np.arange(9), 40 + 5 * np.arange(10))
    for search in (True, False):
        x, y, _ = track.see(0, height, grid, search=search)
        points = np.stack([x, y, height(x, y)], -1).reshape(-1, 3)
        pixel = track.project(points)[0].reshape(10, 9, 2)
        np.testing.assert_allclose(pixel[..., 0], columns, atol=0.2)
        np.testing.assert_allclose(pixel[..., 1], rows, atol=0.2)


def test_a_map_of_blocks_is_interpolated_to_their_pixels():
    track = geometry.at_rest(np.eye(3, dtype=np.float32)[None], (30, 20))
    grid = geometry.Grid(left=-4, top=2, columns=9, rows=7, side=4)
    u, v = grid.rays(track)  # one pixel a head unit: pixel coordinates from the center
    coarse = np.dstack(np.broadcast_arrays(u + 14.5, v + 9.5))
    rows, columns = np.mgrid[grid.window(track)].astype(np.float32)
    assert rows.shape == (18, 30)  # from row 2 on, all columns
    inside = (
        slice(None, -2),
        slice(None, -2),
    )  # half a block is extrapolated at its end
    fine = grid.spread(coarse, track)
    np.testing.assert_allclose(fine[..., 0][inside], columns[inside], atol=1e-4)
    np.testing.assert_allclose(fine[..., 1][inside][2:], rows[inside][2:], atol=1e-4)
    sampled = grid.sample(coarse, columns, rows)
    np.testing.assert_allclose(sampled, fine, atol=0.05)
    assert geometry.whole((30, 20), 4).spread(np.zeros((7, 10)), track).shape == (
        20,
        30,
    )


def test_most_live_faces_are_found_by_the_bundled_detector():
    name = cv2.data.haarcascades + "haarcascade_frontalface_default.xml"
    detector = cv2.CascadeClassifier(name)
    found = []
    specs = specs_of("live", subjects_per_domain=(7, 0, 0), frames=1, face_size=64)
    for spec in specs:
        clip = synthetic.render(spec)
        gray = cv2.cvtColor(clip.frames[0], cv2.COLOR_RGB2GRAY)
        x, y, w, h = clip.boxes[0]
        hits = detector.detectMultiScale(gray, 1.1, 3, minSize=(32, 32))
        found.append(
            any(x < a + c / 2 < x + w and y < b + d / 2 < y + h for a, b, c, d in hits)
        )
    assert np.mean(found) >= 0.6


def test_faces_of_any_size():
    for size in (32, 180):
        spec = specs_of("live", face_size=size, frames=1)[0]
        clip = synthetic.render(spec)
        assert clip.frames.shape[1:3] == spec.size[::-1]
        assert clip.boxes[0, 3] == pytest.approx(size, rel=0.1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subjects_per_domain", (0, 0, 0)),
        ("frames", 0),
        ("face_size", 3),
        ("fps", 0),
        ("attacks", ("mask", "voodoo")),
    ],
)
def test_invalid_settings_are_named(field, value):
    with pytest.raises(InputError, match=field):
        synthetic.plan(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("domain", "dom_x"), ("attack_type", "mask"), ("variant", "bent")],
)
def test_an_invalid_specification_is_named(field, value):
    ask = {"domain": "dom_o", "attack_type": "replay", "subject_seed": 0, "seed": 0}
    with pytest.raises(InputError, match=field):
        synthetic.VideoSpec(**{**ask, field: value})


def test_the_camera_seed_sets_the_camera():
    """Everything else depends on the seed of the clip."""
    ask = {"domain": "dom_o", "attack_type": "live", "subject_seed": 1}
    one, two, other = (
        set_stage(synthetic.VideoSpec(seed=seed, camera_seed=device, **ask))
        for seed, device in ((1, 7), (2, 7), (1, 8))
    )
    assert one.camera == two.camera != other.camera
    assert (one.path.heights != two.path.heights).any()


def test_the_sensor_has_more_pixels_than_a_small_video():
    """The sensor resolves a face with 190 pixels; the video and its boxes are smaller."""
    sizes = {24: 4, 64: 3, 95: 2, 128: 2, 190: 1, 230: 1}
    assert {size: stage.sensor_scale(size) for size in sizes} == sizes
    spec = specs_of("live", frames=1, face_size=64)[0]
    seat = set_stage(spec)
    assert seat.size == tuple(3 * side for side in spec.size)
    clip = synthetic.render(spec)
    assert clip.frames.shape[1:3] == spec.size[::-1]
    wanted = seat.path.heights[0] / 3
    assert clip.boxes[0, 3] == pytest.approx(wanted, rel=1e-3)
    middle = clip.boxes[0, :2] + clip.boxes[0, 2:] / 2
    # Center of pixel x of the sensor: (x + 1/2) / 3 - 1/2 in the video.
    np.testing.assert_allclose(
        middle, (seat.path.centers[0] + 0.5) / 3 - 0.5, atol=0.05
    )
