"""The instrument panel: what it measures, the command around it, and the notebook."""

import contextlib
import json
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.experimental.compilation_cache import compilation_cache
from smoke import config
from test_meta_nas import OneEdge

from nasfas_jax import bilevel, losses
from nasfas_jax.benchmarks import cases, instrument, timing
from nasfas_jax.commands import metagrad
from nasfas_jax.errors import InputError
from nasfas_jax.layers import ConvBlock
from nasfas_jax.methods import feature_nets, meta_nas, rfmeta
from nasfas_jax.report import meta_figures
from nasfas_jax.search import spaces
from nasfas_jax.timing import medians

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "meta_gradients.py"
CURVATURE = np.array([0.5, 2.0], np.float32)
W, H = np.array([1.0, 2.0], np.float32), np.array([0.5, -1.0], np.float32)


cache_in = timing.cache_in


@pytest.fixture(autouse=True)
def warm(monkeypatch):
    """Programs come from the session's cache; nobody reads their compile times."""
    monkeypatch.setattr(timing, "cache_in", contextlib.nullcontext)


def inner(w, h, _):
    return 0.5 * jnp.sum(CURVATURE * (w - h) ** 2)


def outer(w, h, _):
    return 0.5 * jnp.sum(w**2)


def quadratic(mode, steps):
    def step(rate, w, h):
        result = bilevel.hypergradient(
            outer, jax.grad(inner, (0, 1)), w, h,
            inner_batch=None, outer_batch=None, optimizer=optax.sgd(rate),
            steps=steps, mode=mode,
        )  # fmt: skip
        return {"weights": result.params, "h": result.hyper}, result.value

    return step


TOY = instrument.Case("toy", quadratic, lambda batch_size: (W, H))


def test_agreement_is_that_of_the_closed_form():
    rates = (0.25, 0.75)
    panel = instrument.measure(TOY, rates=rates, steps=2, repeats=1)
    assert [cost.mode for cost in panel.costs] == list(bilevel.MODES)
    assert all(c.seconds > 0 and c.compile_seconds > 0 for c in panel.costs)
    assert len(panel.agreements) == len(rates) * len(bilevel.MODES) * 2
    for found in panel.agreements:
        shrink = (1 - found.rate * CURVATURE.astype(float)) ** 2
        end = H + shrink * (W - H)
        exact = {"weights": shrink * end, "h": (1 - shrink) * end}[found.by]
        first = {"weights": end, "h": 0 * end}[found.by]
        own = first if found.mode == "first_order" else exact
        expected = instrument.compare([own], [exact])
        # Central differences of a quadratic are exact up to rounding over epsilon.
        rtol = 1e-3 if found.mode == "finite_difference" else 1e-5
        np.testing.assert_allclose(
            (found.cosine, found.norm_ratio), expected, rtol=rtol, atol=1e-6
        )


@jax.custom_jvp
def reverse(x):
    """Gradient reversal, in the form that no mode refuses."""
    return x


reverse.defjvp(lambda primals, tangents: (primals[0], -tangents[0]))


def adverse(rule):
    """Two levels of updates, under each of which one weight is adverse by ``rule``."""

    def loss(w, h, _):
        return jnp.sin(w[0] * h[0]) + jnp.cos(rule(w[1]) * w[0] * h[1])

    def make(mode, steps):
        def step(rate, w, h):
            sgd, batches = optax.sgd(rate), {"inner_batch": None, "outer_batch": None}

            def nested(w, h, _):
                grad = jax.grad(loss, (0, 1))
                return bilevel.hypergradient(
                    outer, grad, w, h, **batches, optimizer=sgd, mode=mode
                ).grads

            result = bilevel.hypergradient(
                outer, nested, w, h, **batches, optimizer=sgd, steps=steps, mode=mode
            )
            return {"w": result.params}, result.value

        return step

    return instrument.Case("adverse", make, lambda batch_size: (W, H))


def test_the_panel_measures_symmetry():
    """Of every level, at the first setting; NaN counts as the largest."""
    settings = [(1, 1, instrument.MODES), (1, 2, instrument.MODES)]
    for rule, is_symmetric in ((jnp.tanh, True), (reverse, False)):
        panels = []
        options = {"rates": (0.1,), "repeats": 1}
        joined = instrument.sweep(adverse(rule), settings, panels.append, **options)
        assert joined.asymmetry == panels[0].asymmetry and panels[1].asymmetry is None
        assert (joined.asymmetry < 1e-5) == is_symmetric
        cosine = {a.mode: a.cosine for a in panels[1].agreements}
        exact = cosine["forward_over_reverse"] == pytest.approx(1, abs=1e-5)
        assert exact == is_symmetric
    assert np.isnan(instrument.asymmetry(adverse(jnp.tanh), 0.1, 1, W * np.nan, H))


def test_compare_at_zero_and_beyond_the_finite_numbers():
    one, zero = {"a": np.ones(2)}, {"a": np.zeros(2)}
    assert instrument.compare(zero, one) == (0, 0)
    cosine, ratio = instrument.compare({"a": -3 * np.ones(2)}, one)
    assert cosine == pytest.approx(-1) and ratio == pytest.approx(3)
    assert np.isnan(instrument.compare({"a": np.full(2, np.nan)}, one)[0])


def test_the_reference_must_be_exact_and_measured():
    with pytest.raises(ValueError, match=r"must be an exact mode.*'first_order'"):
        instrument.measure(TOY, reference="first_order")
    with pytest.raises(ValueError, match="among the modes"):
        instrument.measure(TOY, modes=("first_order",))


def test_calls_take_turns_after_one_to_warm_up():
    calls = []
    times = medians([lambda: calls.append(0), lambda: calls.append(1)], 2)
    assert calls == [0, 1] * 3 and len(times) == 2 and min(times) >= 0


def test_temporary_bytes_grow_with_what_is_kept():
    def kept(k, x):
        def step(x, _):
            return jnp.sin(x) * x, None

        return jax.grad(lambda x: jax.lax.scan(step, x, length=k)[0].sum())(x)

    x = np.ones(10_000, np.float32)
    few, many = (timing.compiled(lambda x, k=k: kept(k, x), x) for k in (2, 20))
    assert many.temporary_bytes - few.temporary_bytes >= 18 * x.nbytes


def test_compiling_is_cold_though_the_cache_was_in_use(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "cache_in", cache_in)
    flags = {
        "jax_compilation_cache_dir": str(tmp_path),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    before = {name: getattr(jax.config, name) for name in flags}
    x = np.ones(3, np.float32)
    try:
        for name, value in flags.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        jax.jit(lambda x: x + 2)(x)
        kept = set(tmp_path.iterdir())
        timing.compiled(lambda x: x * 3, x)
        assert kept and set(tmp_path.iterdir()) == kept
        jax.jit(lambda x: x - 4)(x)
        assert set(tmp_path.iterdir()) > kept
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()


# The methods, as small as they get.


class Extractor(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        x = ConvBlock(2, bias=True)(x, theta=0.0, train=train)
        return x, x


class Learner(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        x = nn.tanh(ConvBlock(2)(x, theta=0.0, train=train))
        return nn.Dense(1)(x.mean((1, 2)))[..., 0]


class Estimator(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        return ConvBlock(1)(x, theta=0.0, train=train)[..., 0]


def episode(channels, size, map_size):
    def draw(batch):
        rng = np.random.default_rng(0)

        def part(*lead):
            return {
                "image": rng.normal(size=(*lead, size, size, channels)).astype("f4"),
                "target": rng.random((*lead, map_size, map_size), np.float32),
                "label": np.broadcast_to(np.arange(batch) % 2, lead).astype("i4"),
            }

        return {"support": part(2, batch), "query": part(batch)}

    return draw


def agreements(case, rates, modes, steps=1):
    """``{(mode, rate, by): (cosine, norm ratio)}``."""
    panel = instrument.measure(
        case,
        rates=rates,
        batch_size=4,
        steps=steps,
        modes=(*modes, "reverse_over_reverse"),
        repeats=1,
        symmetry=False,  # a program with a callback, which no cache keeps
    )
    return {(a.mode, a.rate, a.by): (a.cosine, a.norm_ratio) for a in panel.agreements}


def test_rfmeta_is_measured_by_f_and_m():
    nets = feature_nets.FeatureNets(
        Extractor(), Learner(), Estimator(), depth_weight=0.0
    )
    method = rfmeta.RFMeta(nets, optax.adam(1e-3))
    case = cases.of_rfmeta(method, episode(3, 6, 6))
    modes = ("first_order", "forward_over_reverse")
    found = agreements(case, (1e-6, 1.0), modes, steps=2)
    for by in "FM":
        assert found["forward_over_reverse", 1.0, by] == pytest.approx((1, 1), abs=1e-4)
        assert found["first_order", 1e-6, by] == pytest.approx((1, 1), abs=1e-5)
        assert found["first_order", 1.0, by][0] < 0.9999


@pytest.fixture
def one_direction(monkeypatch):
    """Contrastive depth in one direction of eight: a fifth of the least program."""
    monkeypatch.setattr(losses, "NEIGHBORS", [(0, 1)])


def test_meta_nas_is_measured_by_weights_and_alphas(one_direction):
    widths = {"stem_channels": 2, "channels": 4, "head_channels": 2, "map_size": 3}
    net = OneEdge(spaces.get("nas_fas", partial=2, **widths))
    method = meta_nas.MetaNAS(
        net, optax.sgd(0.1), optax.sgd(0.1), optax.sgd(0.1), cost_weight=1.0
    )
    case = cases.of_meta_nas(method, episode(4, 6, 3))
    modes = ("first_order", "finite_difference", "forward_over_reverse")
    found = agreements(case, (0.1,), modes)
    for by in ("weights", "alphas"):
        # float32, through three levels of derivatives.
        assert found["forward_over_reverse", 0.1, by] == pytest.approx((1, 1), abs=1e-3)
        for mode in ("first_order", "finite_difference"):
            cosine, ratio = found[mode, 0.1, by]
            assert 0.5 < cosine < 0.9999 and 0.5 < ratio < 2
    # The mode may be a function, as the measurement of symmetry needs; both levels use it.
    taken = []

    def counted(*arguments):
        taken.append(arguments)
        return bilevel.MODES["forward_over_reverse"](*arguments)

    jax.eval_shape(case.make(counted, 1), 0.1, *case.arguments(4))
    assert len(taken) >= 2


def test_recording_changes_nothing_and_keeps_the_gradient():
    grads, plain = {"a": jnp.array([3.0])}, optax.sgd(0.1, momentum=0.9)
    recorded = cases.recorded(plain)
    expected, _ = plain.update(grads, plain.init(grads))
    found, state = recorded.update(grads, recorded.init(grads))
    assert found["a"] == expected["a"] and state[0]["a"] == grads["a"]


# The command.


def test_the_command_writes_tables_picture_and_json(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(metagrad, "_case", lambda *_: (TOY, "a quadratic"))
    monkeypatch.setenv("COLUMNS", "200")
    one = config("rfmeta")
    one.metagrad.update(batch_sizes=(1, 2), steps=(1, 2), rates=(0.1, 1.0, 1e30))
    metagrad.run(one, output=tmp_path / "out")
    assert (tmp_path / "out" / "metagrad.svg").read_text().startswith("<?xml")
    written = json.loads((tmp_path / "out" / "metagrad.json").read_text())
    assert 0 <= written["asymmetry"] < 1e-6
    assert written["case"] == "toy" and written["machine"]["cores"] > 0
    measured = [(c["batch_size"], c["steps"], c["mode"]) for c in written["costs"]]
    assert measured == [
        (batch, k, mode)
        for batch, k, modes in metagrad.settings(one.metagrad)
        for mode in modes
    ]
    assert written["agreements"][-1]["cosine"] is None
    text = (tmp_path / "out" / "metagrad.md").read_text()
    assert text.startswith("On a quadratic; device") and "nan" in text
    printed = capsys.readouterr().out
    words = ("temporary MB", "first_order", "rate 0.1", "metagrad.json")
    for word in (*words, "Largest symmetry error of the inner gradients"):
        assert word in printed
    assert "Largest symmetry error" in text
    assert not list((tmp_path / "out").glob("*.tmp"))


@pytest.mark.parametrize(
    ("name", "case", "channels"),
    [("synthetic", "Meta-NAS", 3), ("rfmeta", "RFMeta", 3)],
)
def test_configs_name_their_case_and_its_noise(name, case, channels):
    """The step is traced, not compiled: that takes half a minute."""
    found, about = metagrad._case(config(name), None)
    assert found.name == case and "noise" in about
    _, episode = jax.eval_shape(lambda: found.arguments(2))
    assert episode["support"]["image"].shape[:2] == (2, 2)
    assert episode["query"]["image"].shape[-1] == channels
    for variant in ("local" if name == "synthetic" else "small", "smoke", "paper"):
        for _, _, modes in metagrad.settings(config(name, variant).metagrad):
            assert set(modes) <= set(bilevel.MODES)


def test_pictures_say_what_is_missing():
    empty = meta_figures.Curves("cosine", "rate", [("first_order", 1.0, np.nan)])
    with pytest.raises(InputError, match="'cosine': expected at least one finite"):
        meta_figures.mode_curves([empty])
    with pytest.raises(InputError, match="at least one, got none"):
        meta_figures.mode_curves([])


def test_a_notebook_shows_pictures():
    points = [("first_order", 1.0, 0.5), ("unrolled", 1.0, 1.0)]
    panels = [meta_figures.Curves("cosine", "rate", points)] * 3
    svg, png = (meta_figures.mode_curves(panels, f) for f in ("svg", "png"))
    assert "<svg" in svg._repr_mimebundle_()["image/svg+xml"]
    assert png._repr_mimebundle_()["image/png"].startswith("iVBOR")


def test_the_examples_of_the_documentation_run(capsys):
    text = (ROOT / "docs" / "meta_gradients.md").read_text()
    cost, truncated, episodes, precise, panel, learned = (
        part.partition("```")[0] for part in text.split("```python\n")[1:]
    )
    exec(cost, {})
    assert capsys.readouterr().out.count("unrolled") == 2
    exec(truncated, {})
    for line in capsys.readouterr().out.splitlines():
        assert f"    {line}\n" in text
    names = {}
    exec(episodes, names)
    alone = jax.jit(
        lambda task: bilevel.hypergradient(
            names["loss"],
            jax.grad(names["loss"], (0, 1)),
            jnp.array(0.5),
            jnp.array(0.2),
            inner_batch=task,
            outer_batch=task,
            optimizer=optax.sgd(0.1),
            steps=3,
        )
    )
    expected = jax.tree.map(
        lambda *x: np.mean(x), *[alone(task) for task in names["tasks"]]
    )
    for found, value in zip(names["mean"][:3], expected[:3], strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-5)
    exec(precise, names)
    for found, value in zip(names["mean"][:3], expected[:3], strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-5)
    exec(panel, {})
    assert capsys.readouterr().out.count("Agreement(mode=") == 4 * 5 * 2
    names = {}
    exec(learned, names)
    assert set(names["result"].hyper) == {"theta", "lam", "rate"}
    assert all(abs(slope) > 1e-6 for slope in names["result"].hyper.values())


# The notebook.


def test_the_notebook_runs_in_small(monkeypatch, capsys):
    monkeypatch.setenv("NASFAS_NOTEBOOK", "small")
    exec(NOTEBOOK.read_text(), {"__name__": "notebook"})
    printed = capsys.readouterr().out
    assert printed.count("equal to the closed form") == 3
    assert "forward_over_reverse: A `jax.custom_vjp` function is used" in printed
    assert "check_symmetry: The second derivatives of the inner loss are not" in printed
    assert "eps_root 0.0: The value" in printed and "eps_root 1e-08: finite" in printed
    assert "exact" in printed.splitlines()[-1]
