"""Class activation maps against derivatives by hand, and explanations of files."""

import itertools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from models import RECIPE, make_model

from nasfas_jax import nets, synthetic
from nasfas_jax.data.loading.pipeline import View
from nasfas_jax.data.preparation.recipe import Recipe
from nasfas_jax.errors import InputError
from nasfas_jax.synthetic.dataset import write_one
from nasfas_jax.workflows import registry


def half(x):
    """Means of 2 x 2 pixels."""
    count, side, _, channels = x.shape
    return x.reshape(count, side // 2, 2, side // 2, 2, channels).mean((2, 4))


class Pair(nn.Module):
    """Two layers of different resolutions, of which the first is called twice."""

    @nn.compact
    def __call__(self, x):
        first = nn.Conv(4, (3, 3), param_dtype=x.dtype)
        x = jnp.tanh(first(jnp.concatenate([x, x[..., :1]], -1)))
        x = half(jnp.tanh(first(x)))
        return nn.Conv(3, (3, 3), param_dtype=x.dtype)(x)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A live video of 25 frames."""
    spec = synthetic.plan(
        subjects_per_domain=(1, 0, 0), live_videos=1, attacks=("print",), frames=25
    )[0]
    path = tmp_path_factory.mktemp("video") / f"live{spec.suffix}"
    write_one(spec, path)
    return path


def test_a_map_is_the_formula_with_the_derivative_by_hand(x64):
    """``relu(sum over c of (mean of d score / d features) * features)``."""
    net, x = Pair(), jnp.asarray(np.random.default_rng(0).normal(size=(3, 8, 8, 3)))
    params = net.init(jax.random.key(0), x)["params"]

    def predict(params, stats, images):
        return (net.apply({"params": params}, images) ** 2).mean(-1)

    shapes = nets.feature_shapes(predict, params, {}, x)
    assert shapes == {
        "Conv_0": (3, 8, 8, 4),
        "Conv_0 2": (3, 8, 8, 4),
        "Conv_1": (3, 4, 4, 3),
        "Pair": (3, 4, 4, 3),
    }
    assert list(nets.grad_cam(predict, params, {}, x)) == ["Conv_0 2", "Pair"]
    found = nets.grad_cam(predict, params, {}, x, layers=["Conv_0 2", "Pair"])

    def after(z):  # all that follows the second call, written out
        z = half(jnp.tanh(z))
        return nn.Conv(3, (3, 3)).apply({"params": params["Conv_1"]}, z)

    once = nn.Conv(4, (3, 3))
    z = jnp.tanh(
        once.apply({"params": params["Conv_0"]}, jnp.concatenate([x, x[..., :1]], -1))
    )
    z = once.apply({"params": params["Conv_0"]}, z)
    d_score = jax.grad(lambda z: (after(z) ** 2).mean((1, 2, 3)).sum())(z)
    weights = d_score.mean((1, 2), keepdims=True)
    expected = np.maximum((weights * z).sum(-1), 0)
    np.testing.assert_allclose(found["Conv_0 2"], expected, rtol=1e-10, atol=1e-15)
    # For the last features y the derivative of the mean of y^2 is 2 y / 48.
    y = np.asarray(after(z))
    expected = np.maximum(((2 * y / 48).mean((1, 2), keepdims=True) * y).sum(-1), 0)
    np.testing.assert_allclose(found["Pair"], expected, rtol=1e-10, atol=1e-15)
    other = nets.grad_cam(predict, params, {}, x, layers=["Pair"], toward="spoof")
    assert ((other["Pair"] == 0) | (found["Pair"] == 0)).all()
    for wrong in (["Conv_2"], "Conv_1"):
        with pytest.raises(InputError, match=r"layers: .* one of 'Conv_0', .* got"):
            nets.grad_cam(predict, params, {}, x, layers=wrong)
    with pytest.raises(InputError, match="toward: expected one of 'live', 'spoof'"):
        nets.grad_cam(predict, params, {}, x, toward="attack")


def test_rfmetas_attention_is_the_map_of_its_extractor():
    network = registry.describe("rfmeta", width=0.02, domains=2)
    method = registry.make_method(network, optax.identity())
    image = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    state = method.init(jax.random.key(0), image[:1])
    arguments = (state.params, state.batch_stats, image)
    name = "FeatureExtractor"
    found = nets.grad_cam(method.predict, *arguments, layers=[name])[name]
    # The score is the sigmoid of the logit; its derivative is a factor of each image.
    attention, score = method.nets.attention(*arguments), method.predict(*arguments)
    np.testing.assert_allclose(found, attention * score * (1 - score), rtol=1e-4)
    assert found.max() > 0


@pytest.mark.parametrize("name", ["searched", "cdcn_pp", "depthnet", "cdn", "eulernet"])
def test_every_network_has_maps_at_each_depth(name):
    recipe, view = RECIPE, View(map_size=4)
    if name in ("searched", "cdcn_pp"):
        view = View(map_size=32)
        network = nets.describe("cdcn_pp")
        network["genotype"]["space"] |= {
            "stem_channels": 2, "channels": 2, "head_channels": 2, "map_size": 32
        }  # fmt: skip
    elif name == "eulernet":
        recipe = Recipe(image_size=16, frames=4, keep_frames=True)
        view = View(input="frames", target="location", map_size=4)
        network = nets.describe(
            "eulernet", width=1 / 32, map_size=4, units=(1, 1, 1, 1, 1)
        )
    else:
        network = nets.describe(name, width=0.05, map_size=4)
    model = make_model(network, view, recipe)
    frames = np.random.default_rng(0).integers(
        0, 256, (2, recipe.frames, 16, 16, 3), np.uint8
    )
    explanation = model.explain(frames)
    sides = [maps.shape[1:] for maps in explanation.cams.values()]
    assert all(one != other for one, other in itertools.pairwise(sides))
    assert len(sides) >= 2
    if name == "eulernet":  # after a stem of one channel; the pyramid returns to 8 x 8
        assert [side for side, _ in sides] == [8, 4, 2, 8, 4]
        assert explanation.headings["FCAM_1"] == "pool 1"
    for maps in explanation.cams.values():
        assert maps.shape[0] == 2 and (maps >= 0).all() and np.isfinite(maps).all()
    assert explanation.motion is None
    assert explanation.picture().data.startswith(b"\x89PNG")
    assert "Explanation of <Prediction clips" in repr(explanation)


def test_a_video_has_its_motion_too(video, tmp_path):
    explanation = make_model().explain(video, clips=2, factor=5.0)
    motion = explanation.motion
    assert motion.frames.shape == motion.magnified.shape == (25, 128, 128, 3)
    assert motion.rate == pytest.approx(25)
    changed = np.abs(np.diff(motion.frames.astype(float), axis=0)).mean()
    magnified = np.abs(np.diff(motion.magnified.astype(float), axis=0)).mean()
    assert magnified > 1.2 * changed
    motion.save(tmp_path / "motion.mp4")
    capture = cv2.VideoCapture(str(tmp_path / "motion.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 25
    assert capture.get(cv2.CAP_PROP_FRAME_WIDTH) == 256
    assert explanation._repr_html_().count("<img") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"layers": ["ConvBlock_99"]},
            r"layers: .* one of .*'ConvBlock_11', 'ConvBlock_12', got",
        ),
        ({"band": (0.5, 13.0)}, r"band: .* frame rate, 12.5, got \(0.5, 13\)"),
        ({"band": 3}, r"band: expected \(low, high\) in hertz, .*, got 3"),
        ({"factor": 0}, "factor: expected a number above 0"),
        ({"toward": "print"}, "toward: expected one of 'live', 'spoof', got 'print'"),
    ],
)
def test_wrong_arguments_are_named(video, options, message):
    with pytest.raises(InputError, match=message):
        make_model().explain(video, clips=1, **options)


def test_real_videos_and_pictures_are_explained(samples, tmp_path):
    model = make_model()
    for path in sorted((samples / "own_data").rglob("*.*")):
        explanation = model.explain(path, clips=1)
        assert (explanation.motion is None) == (path.suffix == ".jpg")
        assert all(np.isfinite(maps).all() for maps in explanation.cams.values())
        assert explanation.picture().data.startswith(b"\x89PNG")


def test_a_picture_has_no_motion(video, tmp_path):
    capture = cv2.VideoCapture(str(video))
    cv2.imwrite(str(tmp_path / "face.png"), capture.read()[1])
    explanation = make_model().explain(tmp_path / "face.png")
    assert explanation.motion is None and len(explanation.prediction.scores) == 1
