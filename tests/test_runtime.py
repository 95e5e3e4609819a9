"""The loop around a step: resume bit for bit, stop, refuse."""

import io
import os
import signal
import struct
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from nasfas_jax import runtime
from nasfas_jax.errors import InputError


class Stream:
    """Endless batches, a pure function of the index; may misbehave at one index."""

    def __init__(self, at=None, do=None):
        self.index, self.at, self.do = 0, at, do

    def __next__(self):
        if self.index == self.at:
            self.do()
        self.index += 1
        return {
            "x": np.random.default_rng(self.index).normal(size=4).astype(np.float32)
        }

    def get_state(self):
        return {"index": self.index}

    def set_state(self, state):
        self.index = state["index"]


def step(state, batch):
    new = {"w": state["w"] * 0.9 + batch["x"], "step": state["step"] + 1}
    return new, {"loss": jnp.sum(new["w"] ** 2)}


def start():
    return {"w": jnp.ones(4), "step": jnp.zeros((), jnp.int32)}


def fit(folder, stream, *, steps=6, state=None, step=step):
    return runtime.fit(
        "test",
        step,
        state or start(),
        stream,
        steps=steps,
        folder=folder,
        log_every=1,
        save_every=2,
    )[0]


def losses(folder):
    return [line["loss"] for line in runtime.read_metrics(folder)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    return fit(folder, Stream()), losses(folder)


def crash():
    raise RuntimeError("pulled the plug")


def test_a_crashed_run_goes_on_bit_for_bit(tmp_path, whole):
    with pytest.raises(RuntimeError, match="plug"):
        fit(tmp_path, Stream(at=3, do=crash))
    assert len(losses(tmp_path)) == 3  # one line past the checkpoint of step 2
    state = fit(tmp_path, Stream())
    np.testing.assert_array_equal(state["w"], whole[0]["w"])
    assert losses(tmp_path) == whole[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_saves_and_goes_on(tmp_path, whole, number):
    stop = Stream(at=2, do=lambda: os.kill(os.getpid(), number))
    with pytest.raises(runtime.Stopped, match="after step 3 of 6") as stopped:
        fit(tmp_path, stop)
    assert stopped.value.number == number
    state = fit(tmp_path, Stream(at=2, do=crash))  # step 3 is not drawn again
    np.testing.assert_array_equal(state["w"], whole[0]["w"])
    assert losses(tmp_path) == whole[1]


def test_a_signal_in_the_last_step_is_not_lost(tmp_path, whole):
    stop = Stream(at=5, do=lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(runtime.Stopped, match="after step 6 of 6"):
        fit(tmp_path, stop)
    state = fit(tmp_path, Stream(at=0, do=crash))
    np.testing.assert_array_equal(state["w"], whole[0]["w"])


def test_until_a_step_is_done_signals_are_the_callers(tmp_path):
    """Nothing is there to save yet, and compiling may take minutes."""

    def traced(state, batch):
        os.kill(os.getpid(), signal.SIGTERM)
        return step(state, batch)

    received = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        fit(tmp_path, Stream(), step=traced)
        assert received == [signal.SIGTERM]
        os.kill(os.getpid(), signal.SIGTERM)
        assert len(received) == 2
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_loop_outside_the_main_thread_needs_no_signals(tmp_path, whole):
    with ThreadPoolExecutor() as executor:
        state = executor.submit(fit, tmp_path, Stream()).result()
    np.testing.assert_array_equal(state["w"], whole[0]["w"])


@pytest.mark.filterwarnings("ignore:Some donated buffers")
def test_a_step_that_compiles_twice_fails_its_test(tmp_path):
    """By a fixture of all tests: here the state grows, so its shapes are new."""

    def growing(state, batch):
        new, metrics = step(state, batch)
        return {**new, "w": jnp.append(new["w"], 0.0)}, metrics

    with pytest.raises(AssertionError, match="traced > 1 times"):
        fit(tmp_path, Stream(), step=growing)


def test_a_finished_run_does_nothing(tmp_path, whole):
    fit(tmp_path, Stream())
    state = fit(tmp_path, Stream(at=0, do=crash))
    np.testing.assert_array_equal(state["w"], whole[0]["w"])


@pytest.mark.parametrize("at", [None, 3])
def test_a_run_ends_where_its_state_says(tmp_path, whole, at):
    """At the fifth of six steps, also after a crash; a finished one takes no step."""

    def run(stream):
        return runtime.fit(
            "test",
            step,
            start(),
            stream,
            steps=6,
            folder=tmp_path,
            log_every=4,
            save_every=2,
            ends=lambda state: int(state["step"]) == 5,
        )[0]

    if at:
        with pytest.raises(RuntimeError, match="plug"):
            run(Stream(at=at, do=crash))
    state = run(Stream())
    assert runtime.read_metrics(tmp_path)[-1]["step"] == 5
    assert losses(tmp_path)[-1] == whole[1][4]
    again = run(Stream(at=0, do=crash))
    np.testing.assert_array_equal(again["w"], state["w"])


@pytest.mark.parametrize(
    ("at", "steps"),
    [(3, r"at step 3 \(.*finite at step 2\)"), (1, "at step 1, the first")],
)
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, at, steps):
    def broken(state, batch):
        state, metrics = step(state, batch)
        return state, {"loss": jnp.where(state["step"] == at, jnp.inf, metrics["loss"])}

    with pytest.raises(runtime.Diverged, match=steps):
        fit(tmp_path, Stream(), step=broken)


def test_a_state_that_is_not_finite_is_never_saved(tmp_path):
    """Between two lines of metrics the loss is not read: the state itself is checked."""

    def broken(state, batch):
        state, metrics = step(state, batch)
        w = jnp.where(state["step"] == 3, jnp.nan, state["w"])
        return {**state, "w": w}, metrics

    def run(state, steps):
        settings = {"folder": tmp_path, "log_every": 10, "save_every": 2}
        return runtime.fit("test", broken, state, Stream(), steps=steps, **settings)

    with pytest.raises(runtime.Diverged, match=r"'w'.* after step 4 .*at step 1"):
        run(start(), 6)
    assert runtime.Checkpoints(tmp_path).last_whole == 2


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    fit(tmp_path, Stream())
    for other in (
        {"w": jnp.ones(5), "step": jnp.zeros((), jnp.int32)},
        {"v": jnp.ones(4), "step": jnp.zeros((), jnp.int32)},
    ):
        with pytest.raises(InputError, match="another network"):
            fit(tmp_path, Stream(), state=other)


def test_a_state_of_other_fields_is_of_another_version(tmp_path):
    """A field without arrays is a part of the structure, and not of the shapes."""
    fit(tmp_path, Stream(), steps=2)
    with pytest.raises(InputError, match="another version of this program"):
        fit(tmp_path, Stream(), state={**start(), "key": ()})


def damage(folder, step, how):
    files = [p for p in (folder / "checkpoints" / str(step)).rglob("*") if p.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    text = largest.read_bytes()
    if how == "changed":
        largest.write_bytes(bytes([text[0] ^ 1]) + text[1:])
    elif how == "cut":
        largest.write_bytes(text[: len(text) // 2])
    elif how == "empty":
        for path in files:
            path.unlink()
    else:  # killed before the checksums were written
        (folder / "checksums" / f"{step}.json").unlink()


@pytest.mark.parametrize("how", ["cut", "changed", "empty", "unfinished"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(tmp_path, whole, how):
    fit(tmp_path, Stream())
    damage(tmp_path, 6, how)
    with pytest.warns(runtime.DamagedCheckpoint, match=r"step 6: .* step 4 instead"):
        state = fit(tmp_path, Stream())
    np.testing.assert_array_equal(state["w"], whole[0]["w"])
    assert losses(tmp_path) == whole[1]
    assert runtime.Checkpoints(tmp_path).last_whole == 6  # written again


def test_damaged_checkpoints_alone_are_refused(tmp_path):
    fit(tmp_path, Stream())
    for step in (4, 6):
        damage(tmp_path, step, "cut")
    with pytest.raises(InputError, match=r"All checkpoints in .*step 6: .*step 4: "):
        fit(tmp_path, Stream())


def test_no_checkpoint_is_said(tmp_path):
    with pytest.raises(InputError, match="no checkpoint in"):
        runtime.Checkpoints(tmp_path).restore(start())


def test_metrics_survive_a_cut_line(tmp_path):
    log = runtime.MetricsLog(tmp_path)
    log.write(1, {"loss": np.float32(0.5), "seconds": 0.1, "p": np.ones((2, 2))})
    log.close()
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 2, "lo')
    (line,) = runtime.read_metrics(tmp_path)
    assert line == {"step": 1, "loss": 0.5, "seconds": 0.1, "p": [[1, 1], [1, 1]]}


def test_tensorboard_reads_scalars_and_drops_what_a_resumed_run_repeats(tmp_path):
    log = runtime.MetricsLog(tmp_path, first_step=4)
    log.write(5, {"loss": np.float32(0.5), "seconds": 0.1, "p": np.ones((2, 2))})
    log.close()
    version, start, line = read_events(*(tmp_path / "tensorboard").iterdir())
    assert version.file_version == "brain.Event:2"
    assert (start.step, start.session_log.status) == (5, start.session_log.START)
    assert line.step == 5
    values = {value.tag: value.simple_value for value in line.summary.value}
    assert values == pytest.approx({"loss": 0.5, "seconds": 0.1})


def read_events(path):
    """The events of a file of records: length, checksum, message, checksum."""
    content, events = path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        events.append(event_pb2.Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    return events


def test_progress_says_rate_and_time_left():
    out = io.StringIO()
    with runtime.Progress("work", 10, start=2, stream=out, every=0) as progress:
        progress(3)
        progress(4, "loss 1")
        progress(10)
    first, middle, last = out.getvalue().splitlines()
    assert first == "work 3/10 (30 %)"
    assert middle.startswith("work 4/10 (40 %), ") and middle.endswith("left, loss 1")
    assert last.startswith("work 10/10 (100 %), done in ")


@pytest.mark.parametrize(
    ("reports", "rate"),
    [
        ([(0, 0), (300, 1), (301, 2), (302, 3)], "1/s, 1 min 37 s left"),  # compiled
        ([(1, 50), (1, 50)], None),  # resumed: nothing is known yet
        ([(1, 51), (2, 52), (12, 53)], "0.182/s, 4 min 18 s left"),
        # 40 steps that cost nothing, as videos already prepared, leave the window.
        ([(0, 10), (1, 50), (61, 51), (121, 52)], "0.0167/s, 48 min 0 s left"),
        ([(100, 1), (300, 2), (500, 3)], "0.005/s, 5 h 23 min left"),  # slow steps
    ],
)
def test_remaining_time_leaves_out_what_came_before_the_first_step(
    monkeypatch, reports, rate
):
    out, now = io.StringIO(), [0.0]
    monkeypatch.setattr("nasfas_jax.runtime.progress.time.monotonic", lambda: now[0])
    start = 50 if reports[0][1] >= 50 else 0
    progress = runtime.Progress("work", 100, start=start, stream=out, every=0)
    for now[0], done in reports:
        progress(done)
    *_, last = out.getvalue().splitlines()
    assert last.partition(", ")[2] == (rate or "")


def test_machine_is_described():
    assert runtime.describe_machine()["jax"] == jax.__version__
