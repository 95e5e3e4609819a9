"""Physics of recapture: each effect against a formula that the code does not use."""

import dataclasses
import tracemalloc

import numpy as np
import pytest

from nasfas_jax import synthetic
from nasfas_jax.synthetic import (
    attacks,
    camera,
    display,
    live,
    printing,
    retouch,
    scene,
)
from nasfas_jax.synthetic.domains import DOMAINS
from nasfas_jax.synthetic.identity import draw_identity

PAPER = np.array([0.85, 0.86, 0.88], np.float32)
PRINTER = printing.Printer(
    ruling=100.0,
    gain=0.0,
    spread=1.7,
    key=0.8,
    white=PAPER,
    surface=0.0,
    gloss=0.0,
    shine=8.0,
    banding=0.0,
    band=0.03,
    grain=0.0,
)
SCREEN = display.draw_display(np.random.default_rng(0), DOMAINS["dom_o"].display)


def generator():
    return np.random.default_rng(3)


@pytest.mark.parametrize(
    ("angle", "pitch"), [(15, 4.0), (75, 5.3), (0, 6.4), (45, 3.1)]
)
def test_a_screen_has_its_ruling_and_its_angle(angle, pitch):
    """The strongest wave of the dots has one period per `pitch`, at the angle."""
    dots = printing.screen(pitch, angle, generator()) < 128
    power = np.abs(np.fft.fft2(dots - dots.mean()))
    row, column = np.unravel_index(np.argmax(power), power.shape)
    wave = np.array([row, column])
    wave = np.where(wave > printing.TILE // 2, wave - printing.TILE, wave)
    assert np.hypot(*wave) == pytest.approx(printing.TILE / pitch, rel=0.02)
    found = np.rad2deg(np.arctan2(*wave)) % 90
    assert min(abs(found - angle % 90), 90 - abs(found - angle % 90)) < 1.5


@pytest.mark.parametrize("scattered", [False, True])
@pytest.mark.parametrize("cover", [0.2, 0.5, 0.8])
def test_reflectance_of_a_tint_follows_yule_and_nielsen(scattered, cover):
    """R^(1/n) = c S^(1/n) + (1 - c) P^(1/n); Murray and Davies for n = 1."""
    for n in (1.0, 1.7):
        printer = dataclasses.replace(
            PRINTER, spread=n, ruling=0.0 if scattered else PRINTER.ruling
        )
        tint = np.zeros((256, 256, 4), np.uint8)
        tint[..., 1] = round(255 * cover)
        dots = printing.halftone(tint, printer, 5.0, generator())
        found = (dots.mean((0, 1)) / 255) ** n
        solid = PAPER * printing.INKS[1]
        wanted = (cover * solid ** (1 / n) + (1 - cover) * PAPER ** (1 / n)) ** n
        np.testing.assert_allclose(found, wanted, atol=0.006)


def test_inks_mix_by_demichel():
    """Two inks on screens of different angles overlap by the product of their areas."""
    tint = np.full((256, 256, 4), 0, np.uint8)
    tint[..., 0], tint[..., 2] = 128, 77
    dots = printing.halftone(
        tint, dataclasses.replace(PRINTER, spread=1.0), 5.0, generator()
    )
    c, y = 128 / 255, 77 / 255
    wanted = np.zeros(3)
    for cyan in (0, 1):
        for yellow in (0, 1):
            area = (c if cyan else 1 - c) * (y if yellow else 1 - y)
            solid = printing.INKS[0] ** cyan * printing.INKS[2] ** yellow
            wanted += area * PAPER * solid
    np.testing.assert_allclose(dots.mean((0, 1)) / 255, wanted, atol=0.01)


def test_dot_gain_is_that_of_half_coverage():
    ends = printing.grow(np.array([0.0, 0.5, 1.0], np.float32), 0.18)
    np.testing.assert_allclose(ends, [0, 0.68, 1], atol=1e-6)


def test_a_color_within_the_gamut_is_printed_unchanged():
    """Separation and printing are inverse, up to the paper's white."""
    colors = np.array(
        [[0.45, 0.25, 0.18], [0.2, 0.2, 0.2], [0.6, 0.5, 0.3]], np.float32
    )
    for color in colors:
        cover = printing.separate(np.tile(color, (256, 256, 1)), PRINTER)
        assert (cover >= 0).all() and (cover <= 1).all()
        tint = np.round(255 * cover).astype(np.uint8)
        dots = printing.halftone(tint, PRINTER, 4.3, generator())
        found = (dots.mean((0, 1)) / 255) ** PRINTER.spread / PAPER
        np.testing.assert_allclose(found, color, atol=0.03)
    green = printing.separate(np.tile(np.float32([0.0, 1.0, 0.0]), (1, 1, 1)), PRINTER)
    assert green[0, 0].max() == 1  # out of the gamut: clipped


def test_a_print_is_made_in_bands():
    """A face of 1024 pixels has 20 million texels, of 6 bytes as a result."""
    photo = np.full((300, 30, 3), 0.4, np.float32)
    tracemalloc.start()
    texture = printing.print_texture(photo, 10.0, 200.0, PRINTER, generator())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert texture.shape == (3000, 300, 3) and texture.dtype == np.uint16
    assert peak < 40 * 3000 * 300


def test_a_wall_has_the_mean_and_the_contrast_of_its_range():
    white = np.array([0.4, 0.45, 0.5], np.float32)
    wall = attacks.wall_texture(2.0, 100.0, white, generator()) / 65535
    assert wall.shape == (200, 200, 3)
    level = wall / white
    assert 0.6 < level.mean() < 1 and 0.01 < level.std() / level.mean() < 0.07
    np.testing.assert_allclose(level[..., 0], level[..., 2], atol=5e-5)


def test_projected_pixels_have_one_grid_for_all_colors():
    """A square of side `duty` per pixel emits 1 / duty^2 of the mean, its gaps nothing."""
    pattern = display.subpixels("grid", 0.75)
    assert (pattern > 0).mean() == pytest.approx(0.75**2, abs=0.04)
    np.testing.assert_array_equal(pattern[..., 0], pattern[..., 2])
    np.testing.assert_allclose(pattern.mean((0, 1)), 1, rtol=1e-4)


@pytest.mark.parametrize("layout", ["stripe", "chevron", "diamond"])
def test_sub_pixels_emit_the_light_of_their_color(layout):
    pattern = display.subpixels(layout, 0.25)
    np.testing.assert_allclose(pattern.mean((0, 1)), 1, rtol=1e-4)
    lit = pattern > 0
    assert not (lit[..., 0] & lit[..., 1] & lit[..., 2]).any()
    span = display.LAYOUTS[layout]
    seen = display.through_lens(pattern, span, 0.8, 0.3, 0.5)
    np.testing.assert_allclose(seen.mean((0, 1)), 1, rtol=0.02)
    far = display.through_lens(pattern, span, 0.2, 0.5, 0.8)
    np.testing.assert_allclose(far, 1, atol=1e-3)  # too fine for the lens


@pytest.mark.parametrize("pitch", [0.8, 1.05, 1.3])
@pytest.mark.parametrize("sites", [1, 2])
def test_moire_has_the_aliased_frequency(pitch, sites):
    """Stripes of 1 / pitch cycles a pixel, sampled by every pixel or every second one."""
    pattern = display.subpixels("stripe", 0.25)
    pattern = display.through_lens(pattern, 1, pitch, 0.2, 0.4)
    place = np.arange(0, 2000, sites, dtype=np.float32)[None, :] / np.float32(pitch)
    seen = display.sample(pattern, 1, place, np.zeros_like(place))[0, :, 0]
    power = np.abs(np.fft.rfft(seen - seen.mean()))
    found = np.argmax(power) / len(seen)  # cycles per sample
    wanted = abs(sites / pitch - round(sites / pitch))
    assert found == pytest.approx(wanted, abs=2 / len(seen))


def test_a_flat_field_is_demosaiced_flat():
    flat = np.tile(np.float32([0.2, 0.4, 0.3]), (16, 24, 1))
    colors = camera.demosaic(camera.bayer(flat))
    np.testing.assert_allclose(colors / 65535, flat, atol=1e-4)


def test_a_pattern_at_bayer_sites_becomes_color():
    """A gray grating above half a cycle per pixel leaves false color, a coarse one none."""
    x = np.arange(240, dtype=np.float32)
    for pitch, colored in ((1.15, True), (12.0, False)):
        wave = 0.4 + 0.3 * np.sin(2 * np.pi * x / pitch)
        gray = np.tile(wave[None, :, None], (32, 1, 3)).astype(np.float32)
        seen = camera.demosaic(camera.bayer(gray)).astype(float) / 65535
        cast = np.abs(seen[8:-8, 8:-8, 0] - seen[8:-8, 8:-8, 1]).mean()
        assert (cast > 0.02) == colored, (pitch, cast)


def test_bands_have_the_rows_of_a_period_of_the_flicker():
    """240 Hz at 480 rows in 1/30 s: a period of 60 rows, moving from frame to frame."""
    screen = dataclasses.replace(SCREEN, flicker=240.0, lit=0.5)
    light = display.bands(screen, 480, 1 / 30, 0.013, 0.0)
    power = np.abs(np.fft.rfft(light - light.mean()))
    assert 480 / np.argmax(power) == pytest.approx(60)
    later = display.bands(screen, 480, 1 / 30, 0.013, 1 / 25)
    assert np.abs(later - light).max() > 0.05
    assert light.mean() == pytest.approx(1, abs=0.02)
    whole = display.bands(screen, 480, 1 / 30, 3 / 240, 0.0)  # three whole periods
    np.testing.assert_allclose(whole, 1, atol=1e-4)
    steady = display.bands(dataclasses.replace(SCREEN, flicker=0.0), 9, 0.03, 0.01, 0.0)
    np.testing.assert_array_equal(steady, 1)


def test_a_screen_is_darker_and_yellower_at_an_angle():
    light = display.by_angle(SCREEN, np.array([1.0, 0.8], np.float32))
    np.testing.assert_allclose(light[0], 1)
    assert (light[1] < 1).all() and light[1, 2] < light[1, 0]


def test_white_balance_removes_its_share_of_a_cast():
    base = DOMAINS["dom_o"].camera
    cast = np.tile(np.float32([0.5, 0.4, 0.25]), (20, 20, 1))
    for adapt in (0.0, 0.5, 1.0):
        found = dataclasses.replace(base, adapt=adapt).meter(cast).balance * cast[0, 0]
        assert found[0] / found[2] == pytest.approx(2 ** (1 - adapt), rel=1e-4)


def test_sensor_noise_is_new_in_every_frame():
    noise = camera.Noise((40, 30), generator())
    first, second = noise.frame(), noise.frame()
    assert first.shape == (30, 40) and (first != second).any()
    np.testing.assert_array_equal(camera.Noise((40, 30), generator()).frame(), first)


def test_a_fold_bends_the_light_at_its_line():
    relief = attacks.crumple((1.0, 1.4), 0.0, 1, generator())
    steep = np.abs(relief.slopes).max(2)
    assert steep.max() > 0.04 and relief.worn.max() > 0.05
    worn = np.argwhere(relief.worn > 0.8 * relief.worn.max())
    assert min(np.ptp(worn[:, 0]), np.ptp(worn[:, 1])) <= 2  # a straight line
    flat = attacks.crumple((1.0, 1.4), 0.03, 0, generator())
    assert flat.slopes.std() == pytest.approx(0.03, rel=1e-3) and not flat.worn.any()


def test_a_card_has_the_shape_of_the_standard_and_carries_the_portrait():
    photo = generator().integers(0, 255, (400, 300, 3)).astype(np.uint8)
    made, offset = retouch.card(photo, (150.0, 190.0), 60.0, generator())
    rows, columns = made.shape[:2]
    assert columns / rows == pytest.approx(85.6 / 53.98, rel=5e-3)
    x, y = 150 + offset[0], 190 + offset[1]
    np.testing.assert_array_equal(
        made[y - 40 : y + 40, x - 40 : x + 40], photo[150:230, 110:190]
    )
    assert 2.4 * 60.0 / rows == pytest.approx(20 / 53.98, rel=5e-3)  # a face of 20 mm


def test_a_photo_is_animated_by_warps_of_itself():
    """Closed lids are skin of the photo, the rim stays, and points follow their pixels."""
    who = draw_identity(generator())
    scale, middle = 50.0, np.array([120.0, 110.0])
    eyes = middle + scale * np.array([[-who.eye_x, who.eye_y], [who.eye_x, who.eye_y]])
    rim = middle + scale * np.array([[1.6, 0.0]])
    points = np.concatenate([np.repeat(rim, live.CONTOUR, 0), eyes]).astype(np.float32)
    photo = np.full((260, 240, 3), 200, np.uint8)
    for x, y in eyes.round().astype(int):
        photo[y - 2 : y + 3, x - 2 : x + 3] = 0
    acted = scene.behave(generator(), np.zeros(3))
    still = np.zeros(3, np.float32)
    acted = dataclasses.replace(
        acted,
        mouth=still,
        smile=still,
        brow=still,
        open_=np.array([1.0, 0.0, 1.0], np.float32),
    )
    turned = np.array([[0, 0], [0, 0], [0.1, 0]])
    frames, moved = retouch.animate(photo, points, scale, who, acted, turned)
    np.testing.assert_allclose(frames[0], photo, atol=1)
    y, x = eyes[0].round().astype(int)[::-1]
    assert frames[1][y, x].min() > 190  # skin from above lies over the eye
    np.testing.assert_array_equal(frames[1][:, :20], photo[:, :20])
    dark = np.argwhere(frames[2][..., 0] < 60)
    left = dark[dark[:, 1] < middle[0] + 5][:, ::-1].mean(0)
    np.testing.assert_allclose(left, moved[2, live.CONTOUR], atol=1.0)
    assert moved[2, live.CONTOUR, 0] > eyes[0, 0] + 2
    np.testing.assert_allclose(moved[2, 0], rim[0], atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "variant"),
    [(k, v) for k in ("print", "replay") for v in synthetic.ATTACKS[k]],
)
def test_every_variant_has_the_box_of_the_live_clip(kind, variant):
    ask = {
        "domain": "dom_i",
        "subject_seed": 6,
        "seed": 3,
        "frames": 3,
        "face_size": 24,
    }
    alive, other = (
        synthetic.render(synthetic.VideoSpec(attack_type=k, variant=v, **ask))
        for k, v in (("live", ""), (kind, variant))
    )
    np.testing.assert_allclose(other.boxes[:, 3], alive.boxes[:, 3], rtol=3e-3)
    wanted, found = (c.boxes[:, :2] + c.boxes[:, 2:] / 2 for c in (alive, other))
    np.testing.assert_allclose(found, wanted, atol=0.1)
    assert not other.depth.any()


def test_an_animated_photo_blinks_and_a_photo_does_not():
    ask = {"domain": "dom_o", "subject_seed": 6, "seed": 3, "face_size": 24}
    opened = {
        variant: synthetic.render(
            synthetic.VideoSpec(attack_type="replay", variant=variant, **ask)
        ).open_
        for variant in ("photo", "animated")
    }
    assert np.ptp(opened["photo"]) == 0 and np.ptp(opened["animated"]) > 0.5
