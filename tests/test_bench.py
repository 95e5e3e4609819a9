"""The benchmark command, as far as it goes without PyTorch and on a tiny case with it."""

import importlib.util
import json

import pytest

from nasfas_jax.commands import bench
from nasfas_jax.errors import InputError


def test_an_unknown_benchmark_is_named():
    with pytest.raises(InputError, match=r"'cdm'.*cdn"):
        bench.bench(("cdm",))


def test_without_pytorch_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[bench\]'"):
        bench.bench()


def test_both_sides_take_turns_after_a_warm_up():
    calls = []
    ours, peer = bench.by_turns(lambda: calls.append("a"), lambda: calls.append("b"), 2)
    assert calls == ["a", "b"] * 3 and ours >= 0 and peer >= 0


def test_disagreement_stops_a_benchmark():
    with pytest.raises(AssertionError, match="map: ours and the peer's differ by 5"):
        bench.check("map", [1.5], [1.0], 0.1)


def test_the_table_and_the_file(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    cases = {"cdn": lambda repeats: bench.cdn(repeats, ((16, 2),))}
    monkeypatch.setattr(bench, "BENCHMARKS", cases)
    rows = bench.bench(repeats=1, output=tmp_path / "bench.json")
    written = json.loads((tmp_path / "bench.json").read_text())
    assert [row["benchmark"] for row in written["rows"]] == [
        "CDN forward",
        "CDN forward + backward",
    ]
    assert written["rows"][0]["ratio"] == rows[0].ours / rows[0].peer
    assert "PyTorch" in capsys.readouterr().out
