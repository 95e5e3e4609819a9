"""Several real processes on loopback, killed ones, and the supervisor."""

import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest
import worker

from nasfas_jax import clusters, runtime
from nasfas_jax.benchmarks import kills
from nasfas_jax.commands import supervise
from nasfas_jax.errors import InputError
from nasfas_jax.runtime import processes

WORKER = str(pathlib.Path(worker.__file__))
STEPS = 24


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    """The search in this process, on eight devices: genotype, alphas, losses."""
    folder = tmp_path_factory.mktemp("alone")
    found, alphas = worker.search(data, folder, steps=STEPS)
    return found, alphas, losses(folder)


def losses(folder):
    lines = runtime.read_metrics(folder)
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["loss"] for line in lines]


def argv(folder, data_folder, *, pause=0.0, steps=STEPS, joined=()):
    return [
        *(sys.executable, WORKER, str(data_folder / "data"), str(folder)),
        *(str(steps), str(pause), *map(str, joined)),
    ]


def children(count, folder, data_folder, **options):
    """So many processes, by the addresses that the supervisor gives."""
    asked = supervise.children({"processes": str(count)}, [], {})
    return [
        child._replace(
            argv=argv(
                folder,
                data_folder,
                joined=(child.argv[3].partition("=")[2], count, i),
                **options,
            )
        )
        for i, child in enumerate(asked)
    ]


def when_logged(folder, count, do):
    """Calls ``do`` in a thread when so many lines of metrics are there."""

    def wait():
        while len(runtime.read_metrics(folder)) < count:
            time.sleep(0.02)
        do()

    threading.Thread(target=wait, daemon=True).start()


def child_pids():
    path = pathlib.Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return [int(pid) for pid in path.read_text().split()]


def kill_last_worker():
    found = [
        pid
        for pid in child_pids()
        if WORKER in pathlib.Path(f"/proc/{pid}/cmdline").read_text()
    ]
    os.kill(max(found), signal.SIGKILL)


def test_two_processes_of_which_one_is_killed_end_as_one(
    alone, folder, tmp_path, capfd
):
    """It is noticed, all are started again, and the search resumes."""
    when_logged(tmp_path, 10, kill_last_worker)
    asked = children(2, tmp_path, folder, pause=0.05)
    assert supervise.run(asked, restarts=1, grace=60) == 0
    written = capfd.readouterr().err
    assert "process 1 ended by SIGKILL; the other was ended" in written
    assert written.count("another process of the run was lost") <= 1
    check(tmp_path, alone)


def test_four_processes_stop_at_one_step_and_resume_as_one(
    alone, data, folder, tmp_path, capfd
):
    """By SIGTERM; their checkpoint, of divided arrays, loads on this mesh of eight."""
    stop = functools.partial(os.kill, os.getpid(), signal.SIGTERM)
    when_logged(tmp_path, 4, stop)
    asked = children(4, tmp_path, folder, pause=0.3)
    assert supervise.run(asked) == 128 + signal.SIGTERM
    written = capfd.readouterr().err
    assert written.count(f"of {STEPS}; its state is saved in") == 4
    step = len(losses(tmp_path))
    assert written.count(f"after step {step} of") == 4
    assert runtime.Checkpoints(tmp_path).last_whole == step
    worker.search(data, tmp_path, steps=STEPS)
    check(tmp_path, alone)


def check(folder, alone):
    """Rounding alone separates the meshes."""
    found, alphas, expected = alone
    assert json.loads((folder / "genotype.json").read_text()) == found.as_dict()
    np.testing.assert_allclose(losses(folder), expected, rtol=1e-4)
    with jax.enable_x64(False):
        last = runtime.Checkpoints(folder).arrays(STEPS)["alphas"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), last, alphas)


def test_a_search_that_is_killed_at_random_moments_is_the_same_bit_for_bit(
    folder, tmp_path
):
    found = kills.survive(
        lambda path: argv(path, folder, pause=0.02),
        tmp_path / "runs",
        kills=2,
        save_every=4,
        seed=1,
    )
    # The last of two checkpoints may still be written.
    assert found.kills == 2 and found.lost <= 8 and found.runs >= 1


def test_processes_that_differ_are_refused(folder, tmp_path, capfd):
    """By their seeds; a mistake ends all of them."""
    code = """
import sys
from nasfas_jax.runtime import processes
address, index = sys.argv[1], int(sys.argv[2])
processes.start(address, 2, index)
try:
    processes.require_same("work", {"seed": index, "steps": 3})
except ValueError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""
    asked = [
        child._replace(argv=[sys.executable, "-c", code, child.argv[6], str(i)])
        for i, child in enumerate(children(2, tmp_path, folder))
    ]
    assert supervise.run(asked) == 2
    written = capfd.readouterr().err
    assert "process 1 differs from process 0: seed is 1, and 0 in process 0" in written


def run_code(*codes, **options):
    asked = [
        supervise.Child(f"process {i}", [sys.executable, "-c", code], {})
        for i, code in enumerate(codes)
    ]
    return supervise.run(asked, **options)


def test_the_others_are_ended_when_one_is_lost(capfd):
    sleep = "import time; time.sleep(60)"
    began = time.monotonic()
    assert run_code(sleep, "raise SystemExit(9)", grace=0.3) == supervise.LOST
    assert time.monotonic() - began < 20
    assert "process 1 ended by exit status 9; the other was" in capfd.readouterr().err


@pytest.mark.parametrize("code", [supervise.FAILED, supervise.MISTAKE])
def test_a_mistake_is_not_tried_again(code, capfd):
    assert run_code(f"raise SystemExit({code})", restarts=3) == code
    assert not capfd.readouterr().err


def test_children_end_with_their_supervisor(tmp_path):
    path = str(tmp_path / "pid")
    code = f"""
import sys
from nasfas_jax.commands import supervise
child = '''
import os, pathlib, time
from nasfas_jax.commands import supervise
supervise.follow()
pathlib.Path({path!r}).write_text(str(os.getpid()))
time.sleep(60)
'''
supervise.run([supervise.Child("process 0", [sys.executable, "-c", child], {{}})])
"""
    parent = subprocess.Popen([sys.executable, "-c", code])
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.02)
    child = pathlib.Path(f"/proc/{(tmp_path / 'pid').read_text()}")
    parent.kill()
    parent.wait()
    until = time.monotonic() + 10
    while child.exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not child.exists()


SLURM = {
    **{"SLURM_NTASKS": "4", "SLURM_PROCID": "1", "SLURM_JOB_ID": "7"},
    **{"SLURM_STEP_NODELIST": "n[1-2]", "SLURM_LOCALID": "1"},
}


def test_a_command_line_is_one_process_several_or_one_of_several():
    def names(given, environment=None):
        found = supervise.children(given, ["train"], environment or {})
        return [child.name for child in found]

    assert names({}) == names({"processes": "1"}) == []
    assert names({"processes": "2"}) == ["process 0", "process 1"]
    assert names({"process": "3", "processes": "4"}) == ["process 3"]
    assert names({}, SLURM) == ["process 1"]
    assert names({"processes": "auto"}) == ["process ?"]
    assert names({}, SLURM | {supervise.CHILD: "1"}) == []
    with pytest.raises(InputError, match="processes: expected an integer of 1 or more"):
        names({"processes": "many"})


def test_a_batch_script_is_no_process_of_several():
    inside = {k: v for k, v in SLURM.items() if k != "SLURM_STEP_NODELIST"}
    assert clusters.detected(inside) is None
    assert clusters.detected(SLURM) == ("SLURM", 4, "1")


def test_one_of_several_processes_needs_the_others_addresses(monkeypatch):
    for name in processes.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        InputError, match=r"process: expected the address .* this one, 1"
    ):
        processes.start(index=1)


def test_restarts_are_a_number():
    assert supervise.restarts({}) == 0 and supervise.restarts({"restarts": "3"}) == 3
    with pytest.raises(
        InputError, match="--restarts: expected an integer of 0 or more"
    ):
        supervise.restarts({"restarts": "x"})


def test_an_address_without_a_port_is_said():
    with pytest.raises(InputError, match="coordinator: expected HOST:PORT"):
        processes.start("10.0.0.1", 2, 1)


def test_a_missing_coordinator_is_said():
    code = """
from nasfas_jax.runtime import processes
from nasfas_jax.errors import InputError
try:
    processes.start("127.0.0.1:1", 2, 1, wait=1)
except InputError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert "processes: expected all processes to meet within 1 s" in done.stdout, done
    assert "coordinator 127.0.0.1:1, process 1 of 2" in done.stdout


def test_one_process_agrees_with_itself(tmp_path):
    processes.require_same("work", {"seed": 1})
    assert processes.gather("a") == ["a"]
    assert processes.once(lambda: 3) == 3
    with processes.locked(tmp_path), pytest.raises(InputError, match="Another process"):
        processes.locked(tmp_path).__enter__()


def test_the_lost_process_is_the_one_that_others_ended_for():
    """Also if the others have ended by the time that it is seen."""
    for codes, lost in (("exit 75", "kill -9 $$"), 1), (("exit 1", "exit 75"), 0):
        ended = [subprocess.Popen(["sh", "-c", code]) for code in codes]
        for one in ended:
            one.wait()
        assert supervise._watch(ended, grace=1) == lost
    assert supervise._watch([], grace=1) is None
