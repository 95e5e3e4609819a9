"""The comparison set: parameter counts, shapes, and training as any other network."""

import json
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import safetensors.numpy
from models import make_model

from nasfas_jax import losses, nets, ops
from nasfas_jax.data.loading.views import View
from nasfas_jax.errors import InputError
from nasfas_jax.methods.supervised import Supervised
from nasfas_jax.nets import mobilenet, pnasnet
from nasfas_jax.workflows import model_files, registry, starts

#: Parameters at 1,000 classes.
COUNTS = {
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "vgg16": 138_357_544,
    "mobilenet_v1": 4_231_976,
    "mobilenet_v2": 3_504_872,
    "mobilenet_v3": 5_483_032,
    "shufflenet_v2": 2_278_604,
    "pnasnet": 5_064_487,
}
NEW = (*COUNTS, "deeppixbis", "tree", "auxiliary")


def variables(net, side=32, batch=1):
    image = jax.ShapeDtypeStruct((batch, side, side, 3), jnp.float32)
    return jax.eval_shape(
        lambda x: net.init(jax.random.key(0), x, train=False), image
    ), image


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_at_1000_classes(name):
    net = nets.build(name, classes=1000)
    assert nets.parameters(variables(net)[0]) == COUNTS[name]


def test_the_cell_of_pnasnet_is_that_of_pnasnet_5_large():
    net = pnasnet.PNASNet(classes=1000, stem=96, nodes=216, cells=12)
    assert nets.parameters(variables(net)[0]) == 86_057_668


def test_parameters_of_networks_of_maps():
    counts = {
        name: nets.parameters(variables(nets.build(name))[0]) for name in NEW[-3:]
    }
    assert counts["auxiliary"] == nets.parameters(variables(nets.DepthNet())[0])
    # 384 weights and a bias of the map, 196 and a bias of the image.
    deep = nets.build("deeppixbis")
    params = variables(deep)[0]["params"]
    assert params["map"]["kernel"].shape == (1, 1, 384, 1)
    assert params["image"]["kernel"].shape == (196, 1)


@pytest.mark.parametrize("name", NEW)
def test_maps_of_any_size_from_images_of_any_size(name):
    net = nets.build(name, width=1 / 16)
    json_ = json.loads(json.dumps(nets.description_of(net)))
    assert nets.from_description(json_) == net
    shapes = set()
    for side, map_size in ((27, 1), (32, 5)):
        sized = net.clone(map_size=map_size)
        image = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
        maps, arrays = jax.eval_shape(
            lambda x, n=sized: n.init_with_output(jax.random.key(0), x, train=False),
            image,
        )
        assert maps.shape == (2, map_size, map_size)
        shapes.add(str(jax.tree.map(lambda a: a.shape, arrays["params"])))
    # Weights of one map size fit another, but for the pixels that DeepPixBiS joins.
    assert (len(shapes) == 1) == (name != "deeppixbis")


def test_the_probability_of_a_classifier_is_that_of_class_1():
    net = nets.build("mobilenet_v1", width=1 / 32, classes=3)
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    arrays = net.init(jax.random.key(0), x, train=False)
    probability, captured = net.apply(
        arrays,
        x,
        train=False,
        capture_intermediates=lambda m, _: m.name == "classifier",
    )
    logits = np.asarray(captured["intermediates"]["classifier"]["__call__"][0])[:, 0, 0]
    expected = np.exp(logits[:, 1]) / np.exp(logits).sum(1)
    np.testing.assert_allclose(probability[:, 0, 0], expected, rtol=1e-5)


def test_channels_are_shuffled_in_pairs_of_halves():
    x = jnp.arange(6.0).reshape(1, 1, 1, 6)
    np.testing.assert_array_equal(ops.shuffle(x, 2).ravel(), [0, 3, 1, 4, 2, 5])


def test_squeeze_and_excitation_scales_channels_by_gates_of_their_means():
    x = jax.random.normal(jax.random.key(0), (2, 3, 3, 4))
    layer = mobilenet.SqueezeExcite(2)
    arrays: Any = layer.init(jax.random.key(1), x, train=False)
    first, last = (arrays["params"][f"ConvNorm_{i}"] for i in (0, 1))
    hidden = np.maximum(x.mean((1, 2)) @ first["kernel"][0, 0] + first["bias"][None], 0)
    gate = np.clip((hidden @ last["kernel"][0, 0] + last["bias"][None]) / 6 + 0.5, 0, 1)
    y: Any = layer.apply(arrays, x, train=False)
    np.testing.assert_allclose(y, x * gate[:, None, None], rtol=1e-5)


def test_deep_pixel_is_half_the_pixels_and_half_the_image():
    maps, images = jnp.array([[[0.9, 0.6]], [[0.2, 0.4]]]), jnp.array([0.8, 0.3])
    target = jnp.array([[[1.0, 1.0]], [[0.0, 0.0]]])
    pixels = -np.mean(np.log([0.9, 0.6, 0.8, 0.6]))
    image = -np.mean(np.log([0.8, 0.7]))
    found = losses.deep_pixel((maps, images), target)
    np.testing.assert_allclose(found, (pixels + image) / 2, rtol=1e-6)


@pytest.mark.parametrize("name", nets.MODULES)
def test_binary_cross_entropy_is_for_networks_of_probabilities(name):
    description = nets.describe(name, width=1 / 32)
    if name in ("depthnet", "cdn_cdc", "cdn_cdp", "cdn", "auxiliary", "eulernet"):
        with pytest.raises(InputError, match=f"'l2' for {name}, whose maps .*exceed 1"):
            registry.loss_of(description, "pixel_binary")
    else:
        assert registry.loss_of(description, "pixel_binary") is losses.pixel_binary


class TwoOutputs(nn.Module):
    """A network with a second output in training, and without BatchNorm."""

    loss = staticmethod(losses.deep_pixel)

    @nn.compact
    def __call__(self, x, *, train):
        """Images to maps, and to probabilities of images."""
        maps = nn.sigmoid(nn.Conv(1, (1, 1))(x))[..., 0]
        return (maps, maps.mean((1, 2))) if train else maps


def test_the_own_loss_sees_both_outputs_and_a_given_one_the_maps():
    batch = {"image": jnp.ones((2, 4, 4, 3)), "target": jnp.ones((2, 4, 4))}
    found = {}
    for loss in (None, losses.pixel_mse):
        method = Supervised(TwoOutputs(), optax.sgd(0.1), loss=loss)
        state = method.init(jax.random.key(1), batch["image"][:1])
        maps = method.predict(state.params, state.batch_stats, batch["image"])
        _, metrics = method.step(state, batch)
        found[loss] = float(metrics["loss"]), maps
    own, maps = found[None]
    np.testing.assert_allclose(own, -np.log(maps).mean(), rtol=1e-5)
    given, maps = found[losses.pixel_mse]
    np.testing.assert_allclose(given, ((maps - 1) ** 2).mean(), rtol=1e-5)


def test_deeppixbis_has_both_outputs_in_training_alone():
    net = nets.build("deeppixbis", width=1 / 64)
    arrays, image = variables(net, 32, batch=2)
    (maps, images), _ = jax.eval_shape(
        lambda v, x: net.apply(v, x, train=True, mutable=["batch_stats"]), arrays, image
    )
    assert maps.shape == (2, 14, 14) and images.shape == (2,)


def test_a_network_without_batchnorm_is_saved_and_loaded(tmp_path):
    view = View(target="binary", map_size=4)
    model = make_model(nets.describe("vgg16", width=1 / 64, map_size=4), view)
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model")
    assert loaded.network == model.network and not loaded.batch_stats
    for name in ("classifier", "hidden_2"):
        np.testing.assert_array_equal(
            loaded.params[name]["kernel"], model.params[name]["kernel"]
        )


def test_a_classifier_of_other_classes_starts_anew(tmp_path):
    """The arrays of params.classifier may be absent from a file of weights."""
    shape = np.zeros((1, 8, 8, 3), np.float32)
    states = [
        Supervised(nets.build("mobilenet_v1", width=1 / 32, classes=n), optax.identity())
        .init(jax.random.key(n), shape)
        for n in (2, 5)
    ]  # fmt: skip
    two, five = states
    own = {"params": five.params, "batch_stats": five.batch_stats}
    arrays = {k: np.asarray(v) for k, v in model_files.named(own).items()}
    path = tmp_path / "weights.safetensors"
    safetensors.numpy.save_file(arrays, path)
    with pytest.raises(InputError, match=r"params\.classifier.* is float32"):
        starts.read(path).applied(two)
    body = {k: v for k, v in arrays.items() if "classifier" not in k}
    safetensors.numpy.save_file(body, path)
    started = starts.read(path).applied(two)
    np.testing.assert_array_equal(
        started.params["ConvNorm_3"]["kernel"], five.params["ConvNorm_3"]["kernel"]
    )
    assert (
        started.params["classifier"]["kernel"] == two.params["classifier"]["kernel"]
    ).all()
    body.popitem()
    safetensors.numpy.save_file(body, path)
    with pytest.raises(InputError, match="is absent, where float32"):
        starts.read(path).applied(two)
