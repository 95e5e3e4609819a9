"""One strict session: silent promotions and warnings are errors, compiles are shared."""

import importlib.metadata
import os
import pathlib
import tempfile

from packaging.version import Version

# Almost all of the tests' time is compiling: XLA's old emitters without optimization
# compile in a fifth of the time, and shapes are tiny. Read when JAX first computes.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0"
    + (  # XLA aborts the process at an option that it no longer has.
        " --xla_cpu_use_fusion_emitters=false"
        if Version(importlib.metadata.version("jaxlib")) < Version("0.11")
        else ""
    )
    # On a busy machine, virtual devices may meet late; XLA aborts the process at 40 s.
    + " --xla_cpu_collective_call_terminate_timeout_seconds=600",
)

# Tests run on CPU devices; libtpu, with which they compile for TPUs, looks for none.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import chex
import jax
import pytest

import nasfas_jax as nf
from nasfas_jax import synthetic
from nasfas_jax.data.preparation import prepare
from nasfas_jax.data.preparation.recipe import Recipe

SAMPLES = pathlib.Path(__file__).parents[2] / "shared" / "samples"

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_num_cpu_devices", 8)
# Compiled programs outlive the session: a second run of the gate compiles nothing.
_cache = os.environ.get("NASFAS_TEST_CACHE") or os.path.join(
    tempfile.gettempdir(), "nasfas_test_cache"
)
os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache  # for the commands that tests start
jax.config.update("jax_compilation_cache_dir", _cache)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
# Shapes are tiny: programs compile in half the time and run as fast without.
jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def x64():
    """Float64 for derivative tests: ``def test_it(x64): ...``."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True)
def steps_are_traced_once(monkeypatch):
    """A step that `runtime.fit` traces, and so compiles, a second time fails its test."""
    from nasfas_jax.runtime import loop

    compile_step = loop.compile_step

    def compile_once(given, *placement):
        chex.clear_trace_counter()  # counts by source, over all calls of `fit`

        @chex.assert_max_traces(n=1)
        def step(state, batch):
            return given(state, batch)

        return compile_step(step, *placement)

    monkeypatch.setattr(loop, "compile_step", compile_once)


@pytest.fixture(scope="session")
def samples() -> pathlib.Path:
    """Real pictures and videos kept beside the checkout; the test skips without them."""
    if not SAMPLES.is_dir():
        pytest.skip(f"no real samples at {SAMPLES}")
    return SAMPLES


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> pathlib.Path:
    """`videos` of the synthetic set and their records in `data`; not to be written to."""
    root = tmp_path_factory.mktemp("synthetic")
    few = {"subjects_per_domain": (1, 1, 1), "live_videos": 1}
    synthetic.write_videos(root / "videos", **few, frames=10, face_size=32)
    recipe = Recipe(image_size=16, clips_per_video=2, method="harmonic")
    prepare.prepare("synthetic", root / "videos", root / "data", recipe)
    return root


@pytest.fixture(scope="session")
def data(folder):
    """The opened records of `folder`."""
    return nf.open_data(folder / "data")
