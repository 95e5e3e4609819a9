"""The meta-gradient benchmark: its sizes, its memory, and equality with the peers."""

import dataclasses
import json
import pathlib
import runpy

import jax
import numpy as np
import pytest

from nasfas_jax.benchmarks import memory, metagrad, timing
from nasfas_jax.commands import bench
from nasfas_jax.methods import rfmeta
from nasfas_jax.search import fas, spaces

RFMETA = metagrad.RFMetaCase(32, 1 / 32, 4, inner_rate=0.3)
META_NAS = metagrad.MetaNASCase(
    8, 2, fas.FASSpace(stem_channels=2, channels=2, head_channels=2, partial=2)
)


def read_config(name, variant):
    folder = pathlib.Path(__file__).parents[1] / "configs"
    return runpy.run_path(str(folder / f"{name}.py"))["get_config"](variant)


def test_the_default_sizes_are_the_configs():
    config = read_config("rfmeta", "small")
    case = metagrad.RFMetaCase()
    assert case.size == config.data.image_size
    assert case.inner_rate == config.meta.inner_learning_rate
    assert case.depth_weight == config.meta.depth_weight
    config = read_config("synthetic", "local")
    case = metagrad.MetaNASCase()
    assert case.size == 2 * config.data.image_size  # a step long enough to be timed
    assert case.batch == config.search.batch_size
    assert case.inner_rate == config.search.inner_learning_rate
    trial = {"convolution": "cdc", "pool": "cdp"}  # the paper's, for every run alike
    options = config.search.space_options.to_dict() | trial
    assert case.space == spaces.get("nas_fas", **options)
    for name in (
        "learning_rate",
        "weight_decay",
        "eps_root",
        "alpha_learning_rate",
        "alpha_weight_decay",
    ):
        assert getattr(case, name) == config.search[name]


def test_growth_is_what_the_function_took_at_most():
    """Measured on pages, which other threads of the session move a little."""
    size = 50 << 20

    def take():
        np.ones(size, np.uint8)
        np.ones(size // 2, np.uint8)

    assert memory.growth(take) == pytest.approx(size, rel=0.2)
    assert memory.growth(lambda: None) < size / 10


def in_float64(tree):
    return jax.tree.map(
        lambda x: x.astype(np.float64) if x.dtype == np.float32 else x, tree
    )


def compare(case, state, episode, new, loss):
    """Both sides after one step, in float64: no kink is crossed, sums agree."""
    from nasfas_jax.benchmarks.peers import metagrad as peers

    for style in case.styles:
        peer = case.peer(style)
        peer.load(jax.device_get(case.start(state)))
        losses = loss, peer.step(peers.tensors(episode))
        metagrad.compare(case, style, peer, new, losses, (1e-10, 1e-9))


def test_rfmeta_is_the_peers(x64):
    pytest.importorskip("torch")
    episode = in_float64(metagrad.draw_episode(RFMETA))
    method = RFMETA.method()
    state = jax.jit(method.init)(jax.random.key(0), episode["query"]["image"][:1])
    new, metrics = jax.jit(method.step)(state, episode)
    compare(RFMETA, state, episode, new, metrics["loss"])
    # The comparison sees the second derivative.
    first = dataclasses.replace(method, order="first")
    assert isinstance(first, rfmeta.RFMeta)
    new, metrics = jax.jit(first.step)(state, episode)
    with pytest.raises(AssertionError, match="weights of RFMeta"):
        compare(RFMETA, state, episode, new, metrics["loss"])


def test_meta_nas_is_the_peers(x64):
    """Also the alphas' gradient, a third derivative."""
    pytest.importorskip("torch")
    episode = in_float64(metagrad.draw_episode(META_NAS))
    method = META_NAS.method()
    state = jax.jit(method.init)(jax.random.key(0), episode["query"]["image"][:1])
    new, metrics = jax.jit(method.step)(state, episode)
    compare(META_NAS, state, episode, new, metrics["loss"])


def test_the_command_writes_a_table_and_json(tmp_path, monkeypatch, capsys):
    times = {"ours_seconds": 1.0, "peer_seconds": 2.0, "compile": 3.0}
    memory = {"ours_bytes": 10**6, "peer_bytes": 4 * 10**6, "program_bytes": 10**6}
    row = metagrad.Row("RFMeta", "32 px", "higher", **times, **memory)
    monkeypatch.setattr(metagrad, "rows", lambda case, repeats: iter([row]))
    monkeypatch.setattr(metagrad, "CASES", (RFMETA,))
    monkeypatch.setattr(timing, "machine", lambda *packages: {})
    bench.run_metagrad(output=tmp_path)
    written = json.loads((tmp_path / "metagrad.json").read_text())
    ratios = {"time": 0.5, "memory": 0.25}
    assert written["rows"] == [dataclasses.asdict(row) | {"ratios": ratios}]
    assert "PyTorch" in capsys.readouterr().out


def test_a_case_is_compared_with_every_style(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(metagrad, "TOLERANCES", (1e-3, 1.0))
    rows = list(metagrad.rows(metagrad.RFMetaCase(32, 1 / 64, 2), 1))
    assert [row.peer for row in rows] == ["functional", "higher"]
    assert all(row.peer_bytes > 0 and row.program_bytes > 0 for row in rows)
