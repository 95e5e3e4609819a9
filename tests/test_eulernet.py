"""EulerNet: attention, pyramid, streaming, description, and what it refuses."""

import itertools
import json

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasfas_jax import nets, ops
from nasfas_jax.data.media import video
from nasfas_jax.errors import InputError
from nasfas_jax.nets import eulernet

SMALL = {"width": 1 / 16, "units": [1, 1, 1, 1, 1], "map_size": 8}


def clips(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def made(x, **options):
    net = nets.build("eulernet", **{**SMALL, **options})
    return net, jax.jit(lambda x: net.init(jax.random.key(0), x, train=False))(x)


def test_fcam_is_conv_filter_sigmoid_gate():
    x = jnp.asarray(clips(2, 4, 5, 6, 3))
    layer = eulernet.FCAM("free")
    variables = layer.init(jax.random.key(1), x)
    p = variables["params"]
    frames = [ops.cdc(x[:, t], p["kernel"], 0.0) + p["bias"] for t in range(4)]
    h1 = h2 = np.zeros_like(frames[0])
    for t, frame in enumerate(frames):
        y = p["b"][0] * frame + h1
        h1 = p["b"][1] * frame + h2 - p["a"][0] * y
        h2 = p["b"][2] * frame - p["a"][1] * y
        expected = x[:, t] / (1 + np.exp(-y))
        np.testing.assert_allclose(layer.apply(variables, x)[:, t], expected, atol=1e-5)


@pytest.mark.parametrize("fcam", [True, False])
def test_a_stream_is_the_whole_sequence(fcam):
    x = jnp.asarray(clips(1, 6, 16, 16, 3))
    net, variables = made(x, fcam=fcam, merge="mean")
    whole = jax.jit(lambda x: net.apply(variables, x, train=False, merged=False))(x)
    frame = jax.jit(lambda x, state: eulernet.stream(net, variables, x, state))
    state, maps = None, []
    for t in range(6):
        one, state = frame(x[:, t : t + 1], state)
        maps.append(one)
    np.testing.assert_allclose(jnp.concatenate(maps, 1), whole, atol=1e-5)
    merged = net.apply(variables, x, train=False)
    np.testing.assert_allclose(merged, whole.mean(1), atol=1e-6)
    last = net.clone(merge="last").apply(variables, x, train=False)
    np.testing.assert_allclose(last, whole[:, -1], atol=1e-6)
    if fcam:
        with pytest.raises(ValueError, match="frames of a stream have one size"):
            eulernet.stream(net, variables, x[:, :1, :8, :8], state)
        reversed_ = net.apply(variables, x[:, ::-1], train=False)
        assert np.abs(reversed_ - merged).max() > 1e-6  # order matters
    else:
        assert state is None


def test_the_pyramid_is_equations_4_to_6():
    """Its convolutions are given the residuals; constants at two levels cancel."""
    x = jnp.asarray(clips(1, 2, 16, 16, 3))
    net, variables = made(x)
    _, others = made(x, pyramid=False)
    extra = set(variables["params"]) - set(others["params"])
    assert len(extra) == 2  # the convolutions of eq. 4 and 5
    _, seen = net.apply(variables, x, train=False, capture_intermediates=True)
    layers = {
        k: v["__call__"][0] for k, v in seen["intermediates"].items() if k != "__call__"
    }

    def conv(name, x):
        from nasfas_jax.layers import ConvBlock

        own = {k: variables[k][name] for k in ("params", "batch_stats")}
        return ConvBlock(x.shape[-1]).apply(own, x, theta=0.0, train=False)

    flat = {k: v.reshape(-1, *v.shape[2:]) for k, v in layers.items() if "FCAM" in k}
    f8, f4, f2 = flat["FCAM_1"], flat["FCAM_2"], flat["FCAM_3"]
    s8 = conv("ConvBlock_4", f8 - ops.resize(f4, 8))
    s4 = conv("ConvBlock_5", f4 - ops.resize(f2, 4))
    np.testing.assert_allclose(layers["ConvBlock_4"], s8, atol=1e-5)
    np.testing.assert_allclose(layers["ConvBlock_5"], s4, atol=1e-5)


def test_a_description_is_json_and_builds_the_same_network():
    description = nets.describe("eulernet", fcam=False, merge="last", **SMALL)
    net = nets.from_description(json.loads(json.dumps(description)))
    assert net == nets.build("eulernet", fcam=False, merge="last", **SMALL)
    assert nets.from_description(nets.description_of(net)) == net
    full = nets.build("eulernet")
    assert nets.macs(full, (1, 4, 64, 64, 3)) > 0
    with pytest.raises(InputError, match="fcam: expected True or False, got 'no'"):
        nets.build("eulernet", fcam="no")
    with pytest.raises(InputError, match=r"units: expected 5 numbers, .*, got 3\."):
        nets.build("eulernet", units=(1, 1, 1))
    with pytest.raises(
        InputError, match=r"attention: expected an option of eulernet, .*fcam"
    ):
        nets.describe("eulernet", attention=True)
    with pytest.raises(
        InputError, match=r"expected as an option of eulernet one of .*'fcam'"
    ):
        nets.from_description(description | {"attention": True})
    with pytest.raises(InputError, match=r"fcam: expected an option of cdn, .*theta"):
        nets.describe("cdn", fcam=True)
    with pytest.raises(InputError, match="theta, lam: expected None for eulernet"):
        nets.describe("eulernet", theta=0.5)


@pytest.mark.parametrize("options", [{}, {"fcam": False}, {"pyramid": False}])
def test_the_depths_are_the_last_layers_of_figure_8(options):
    """At a map of S/8, that of the paper, the third level and the fusion have one side."""
    x = jnp.zeros((1, 2, 32, 32, 3))
    net = nets.build("eulernet", width=1 / 16, units=(1, 2, 1, 1, 2), map_size=4)
    net = net.clone(**options)
    shapes = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), x)
    variables = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    def predict(params, batch_stats, images):
        return net.apply({**variables, "params": params}, images, train=False)

    found = nets.feature_shapes(predict, variables["params"], {}, x)
    assert list(net.depths.values()) == ["pool 1", "pool 2", "pool 3", "fusion"]
    assert [found[name][-2] for name in net.depths] == [16, 8, 4, 4]
    stem, *levels = nets.last_layers(found)
    one, two, three, fusion = net.depths
    # Without a pyramid, the third level and the fusion are one run of 4 x 4 pixels.
    pyramid = [one, two, three, "ConvBlock_5", "ConvBlock_6", fusion]
    assert levels == (pyramid if net.pyramid else [one, two, fusion])
    assert found[stem][-2] == 32


def test_unstable_free_filters_are_named():
    x = jnp.asarray(clips(1, 2, 16, 16, 3))
    _, variables = made(x, filters="free")
    assert eulernet.unstable_filters(variables["params"]) == {}
    params = {**variables["params"]}
    params["FCAM_2"] = {**params["FCAM_2"], "a": jnp.array([-2.5, 1.0])}
    assert eulernet.unstable_filters(params) == {"FCAM_2": pytest.approx(2)}


def test_a_stream_through_an_unstable_filter_is_refused():
    """Pole radius 2: the state overflows float32 after about 128 frames."""
    x = jnp.asarray(clips(1, 1, 16, 16, 3))
    net, variables = made(x, filters="free")
    layer = {**variables["params"]["FCAM_0"], "a": jnp.array([-2.5, 1.0])}
    given = {**variables, "params": {**variables["params"], "FCAM_0": layer}}
    frame = jax.jit(lambda x, state: eulernet.stream(net, given, x, state))
    state = None
    for _ in range(140):
        before = state
        maps, state = frame(x, state)  # traced: not checked
        if not np.isfinite(maps).all():
            break
    with pytest.raises(InputError, match=r"Unstable filters.*'FCAM_0': 2\.0.*'stable'"):
        nets.require_finite(maps, given["params"])
    with pytest.raises(InputError, match=r"Unstable filters.*'FCAM_0': 2\.0.*'stable'"):
        nets.stream(net, given, x, before)
    nets.require_finite(frame(x, None)[0], given["params"])


def test_images_are_refused():
    with pytest.raises(InputError, match=r"expected clips \[N, T, S, S, C\]"):
        made(jnp.zeros((1, 16, 16, 3)))


def test_a_stream_of_a_real_video_is_the_whole_sequence(samples):
    """Forty frames, one at a time, of a video from a camera."""
    path = samples / "own_data/live/franck.mp4"
    images = itertools.islice(video.read_frames(path), 40)
    frames = np.stack([cv2.resize(image, (32, 32)) for image in images])[..., ::-1]
    x = jnp.asarray(frames[None] / np.float32(127.5) - 1)
    net, variables = made(x)
    whole = net.apply(variables, x, train=False, merged=False)
    frame = jax.jit(lambda x, state: eulernet.stream(net, variables, x, state))
    state, maps = None, []
    for t in range(x.shape[1]):
        one, state = frame(x[:, t : t + 1], state)
        maps.append(one)
    np.testing.assert_allclose(jnp.concatenate(maps, 1), whole, atol=1e-5)
    assert np.abs(np.diff(np.asarray(whole), axis=1)).max() > 0
