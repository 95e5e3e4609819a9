"""Scripts and manifests of jobs: their examples, shellcheck, schemas, and their effect."""

import os
import pathlib
import shlex
import subprocess

import jsonschema
import launch_schemas
import pytest
import yaml
from absl import flags

from nasfas_jax import commands, launch
from nasfas_jax.commands import launch as command
from nasfas_jax.commands import parsing, supervise
from nasfas_jax.errors import InputError

ROOT = pathlib.Path(__file__).parents[1]
EXAMPLES = ROOT / "launch" / "examples"
POD = "--config=synthetic:pod"
BUCKET = "--workdir=gs://BUCKET/runs/search"
V5E = "--topology=v5e:4x4 --zone=us-west4-a --spot"
H100 = "--gpus=8 --nodes=2 --cpus=96"
#: The command line of each file in launch/examples, without `nasfas launch --dry_run`.
COMMANDS = {
    "local.sh": f"--backend=local {POD} --command=search --nodes=2 --restarts=3",
    "slurm.sh": f"--backend=slurm {POD} --command=search {H100} --per=gpu"
    " --workdir=/shared/runs/search --options='--partition=gpu --account=me'"
    " --setup='source /shared/nasfas/bin/activate'",
    "slurm_sweep.sh": "--backend=slurm --config=rfmeta --command=sweep --gpus=4"
    " --cpus=32 --parts=16 --workdir=/shared/runs/rfmeta --hours=4.5",
    "tpu_vm.sh": f"--backend=tpu_vm {POD} --command=search {V5E} {BUCKET}",
    "gke.yaml": f"--backend=gke {POD} --command=search {V5E} {BUCKET}",
    "gke_gpus.yaml": f"--backend=gke {POD} --command=search {H100} {BUCKET}"
    " --gpu=nvidia-h100-80gb --name=search",
    "skypilot.yaml": f"--backend=skypilot {POD} --command=search {V5E} {BUCKET}",
    "skypilot_gpus.yaml": f"--backend=skypilot {POD} --command=search {H100}"
    " --gpu=H100 --workdir=s3://BUCKET/runs/search",
    "skypilot_sweep.yaml": "--backend=skypilot --config=rfmeta --command=sweep"
    " --parts=16 --gpus=1 --gpu=L4 --spot --workdir=s3://BUCKET/runs/rfmeta",
}
# ml_collections loads config files by it.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
SCRIPTS = [name for name in COMMANDS if name.endswith(".sh")]


@pytest.fixture
def printed(monkeypatch, capsys):
    """What `nasfas launch LINE --dry_run` prints."""

    def of(line):
        argv = ["nasfas", "launch", "--dry_run", *shlex.split(line)]
        monkeypatch.setattr("sys.argv", argv)
        values = flags.FlagValues()
        parsing.parse(argv, values)
        commands.execute("launch", **parsing.given("launch", values))
        return capsys.readouterr().out

    return of


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_are_what_the_command_prints(name, printed):
    """After a change: NASFAS_WRITE_EXAMPLES=1 python -m pytest tests/test_launch.py."""
    text = printed(COMMANDS[name])
    if os.environ.get("NASFAS_WRITE_EXAMPLES"):
        (EXAMPLES / name).write_text(text)
    assert (EXAMPLES / name).read_text(encoding="utf-8") == text
    assert max(map(len, text.splitlines())) < 180 and text.count("\n") < 80


def test_every_example_is_described():
    assert {path.name for path in EXAMPLES.iterdir()} == set(COMMANDS)


def shell_of(name):
    """The shell code of an example: the script, or those in a manifest."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    if name in SCRIPTS:
        return [text]
    content = yaml.safe_load(text)
    if "run" in content:
        return [content["setup"], content["run"]]
    (job,) = content["spec"]["replicatedJobs"]
    return job["template"]["spec"]["template"]["spec"]["containers"][0]["args"]


def test_shellcheck_finds_nothing():
    scripts = [shell for name in COMMANDS for shell in shell_of(name)]
    scripts += [p.read_text(encoding="utf-8") for p in (ROOT / "launch").glob("*.sh")]
    for text in scripts:
        # A sourced file that is elsewhere; variables that the machines set.
        words = ["shellcheck", "--shell=bash", "--exclude=SC1091,SC2154", "-"]
        done = subprocess.run(words, input=text, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - set(SCRIPTS)))
def test_manifests_have_the_fields_of_their_schema(name):
    content = yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))
    schema = getattr(launch_schemas, "JOBSET" if name.startswith("gke") else "SKYPILOT")
    jsonschema.Draft202012Validator(schema).validate(content)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content | {"replicas": 2}, schema)


def test_a_jobset_asks_for_the_machines_of_its_slice():
    content = yaml.safe_load((EXAMPLES / "gke.yaml").read_text(encoding="utf-8"))
    job = content["spec"]["replicatedJobs"][0]["template"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    chips = container["resources"]["limits"]["google.com/tpu"] * job["completions"]
    assert chips == 16 and job["completions"] == job["parallelism"] == 4
    for topology, hosts in (("v5e:2x4", 1), ("v5p:2x4x4", 8), ("v6e:16x16", 64)):
        made = launch.Job(("search",), topology=topology, workdir="gs://b/r")
        assert made.hosts == made.processes == hosts


def stub(folder, name, body):
    """A program for the PATH of a script."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


def start(name, folder, **env):
    """Starts an example with the programs of a folder."""
    path = f"{folder}:{os.environ['PATH']}"
    return subprocess.Popen(
        ["bash", str(EXAMPLES / name)],
        env=os.environ
        | {"PATH": path, "LOG": str(folder / "log"), "HERE": str(folder)}
        | env,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    ("code", "restarts", "requeued"),
    [(0, 0, False), (2, 0, False), (143, 0, True), (134, 19, True), (143, 20, False)],
)
def test_slurm_requeues_what_a_restart_helps(tmp_path, code, restarts, requeued):
    stub(tmp_path, "source", "")
    stub(tmp_path, "srun", f'echo "srun $*" >> "$LOG"; exit {code}')
    stub(tmp_path, "scontrol", 'echo "scontrol $*" >> "$LOG"')
    given = {"SLURM_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}
    script = start(
        "slurm_sweep.sh", tmp_path, SLURM_RESTART_COUNT=str(restarts), **given
    )
    assert script.wait(timeout=20) == code
    first, *others = (tmp_path / "log").read_text().splitlines()
    assert first.startswith("srun --kill-on-bad-exit=1 nasfas sweep --config=rfmeta")
    assert first.endswith("--part=3/16")
    assert others == ["scontrol requeue 7"] * requeued


def test_a_preempted_slice_is_made_again(tmp_path):
    """Absent, made, lost by the run (255), found preempted, made again, done."""
    stub(
        tmp_path,
        "gcloud",
        """echo "$4" >> "$LOG"
case $4 in
  describe) [ -e "$HERE/state" ] && cat "$HERE/state"; exit 0;;
  create) echo READY > "$HERE/state";;
  ssh) case "$*" in *"nasfas search"*)
    [ -e "$HERE/lost" ] || { touch "$HERE/lost"; echo PREEMPTED > "$HERE/state"; exit 255; };;
  esac;;
esac""",
    )
    assert start("tpu_vm.sh", tmp_path).wait(timeout=20) == 0
    done = (tmp_path / "log").read_text().split()
    each = ["create", "ssh", "ssh", "ssh", "ssh"]
    assert done == ["describe", *each, "describe", "delete", *each]


@pytest.mark.parametrize("step", ["uv pip install", "gcsfuse", "nasfas search"])
def test_an_error_on_a_slice_is_not_repeated(tmp_path, step):
    stub(
        tmp_path,
        "gcloud",
        f"""echo "$4" >> "$LOG"
case $4 in
  describe) echo READY;;
  ssh) case "$*" in *"{step}"*) exit 1;; esac;;
esac""",
    )
    assert start("tpu_vm.sh", tmp_path).wait(timeout=20) == 1
    assert (tmp_path / "log").read_text().split().count("describe") == 1


def test_skypilot_recovers_from_a_lost_process():
    content = yaml.safe_load((EXAMPLES / "skypilot.yaml").read_text(encoding="utf-8"))
    codes = content["resources"]["job_recovery"]["recover_on_exit_codes"]
    assert supervise.LOST in codes and not {supervise.FAILED, supervise.MISTAKE} & {
        *codes
    }


def test_skypilot_tells_each_node_its_process(tmp_path):
    setup, run = shell_of("skypilot_gpus.yaml")
    assert "uv pip install --quiet 'nasfas_jax[gpu]'" in setup
    stub(tmp_path, "timeout", 'echo "$*"')
    given = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2",
        "SKYPILOT_NUM_NODES": "2",
        "SKYPILOT_NODE_RANK": "1",
    }
    shown = subprocess.run(
        ["bash", "-c", run], env=os.environ | given, capture_output=True, text=True
    ).stdout
    joining = "--processes=2 --process=1 --coordinator=10.0.0.1:8476"
    assert shown == (
        "--signal=TERM 86400 nasfas search --config=synthetic:pod"
        f" --workdir=/buckets/BUCKET/runs/search {joining}\n"
    )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--backend=pbs", "backend: expected one of 'local', 'slurm'"),
        ("--command=serach", "no command 'serach'"),
        (
            "--command='search --workdir=x'",
            "--command: expected --workdir as a flag of",
        ),
        (
            "--command='search --config.seed=1'",
            "command: expected --config.seed as a flag of launch, which passes it on",
        ),
        ("--restarts=-1", "restarts: expected an integer of 0 or more, got -1"),
        ("--command='train --netwrk=cdn'", "no flag --netwrk"),
        ("--command='train --network=cdm'", "--network: expected one of"),
        ("--topology=v5e:3x3 --workdir=gs://b/r", "topology: expected one of"),
        ("--topology=v5e:4x4", "workdir: expected an address as gs://BUCKET/FOLDER"),
        (f"--gpus=8 {V5E} {BUCKET}", "topology: expected a TPU topology or GPUs"),
        (f"--backend=slurm {V5E} {BUCKET}", "backend: 'slurm' needs nodes of GPUs"),
        (
            f"--backend=tpu_vm --topology=v5e:4x4 {BUCKET}",
            "needs a topology and a zone",
        ),
        ("--backend=gke --gpus=8", "backend: 'gke' needs the type of the GPUs"),
        (f"--backend=slurm {BUCKET}", "and a folder that they mount"),
        (f"--backend=local {BUCKET}", "in which buckets are mounted before"),
        (
            f"--backend=gke {V5E} --workdir=s3://b/run",
            "'gke' needs a bucket of Google Cloud",
        ),
        (
            "--backend=gke --gpus=8 --gpu=nvidia-h100-80gb --workdir=/mnt/run",
            "'gke' needs a folder as gs://BUCKET/FOLDER: its pods keep no files",
        ),
        (
            "--backend=skypilot --gpus=8 --gpu=H100 --workdir=runs/x",
            "'skypilot' needs a folder in a bucket, or a path that all machines",
        ),
        ("--parts=4", "parts: expected the command sweep"),
        (
            "--nodes=2 --command=demo",
            "nodes: expected one of the commands search, train for 2",
        ),
        ("--per=gpu", "per: 'gpu' needs the number of GPUs"),
        (
            f"--backend=gke {V5E} {BUCKET}",
            "config.search.batch_size: expected a multiple of 16 clips of each group",
        ),
        (
            f"--backend=gke {V5E} {BUCKET} --command='search --mesh=episode:2'",
            "--mesh: expected an axis episode that divides the 1 episodes",
        ),
        (
            f"--backend=slurm {H100} --workdir=/x --command='train --network=cdn'",
            "config.train.batch_size: expected a multiple of 16 clips, which",
        ),
        ("--nodes=two", "nodes: expected a number, got 'two'"),
        ("--nodes=1.5", "nodes: expected an integer"),
        ("--name=My_Run", "name: expected 1 to 40 small letters"),
    ],
)
def test_wrong_jobs_are_refused(line, says, printed):
    with pytest.raises(InputError) as error:
        printed(f"--config=synthetic:smoke --command=search {line}")
    assert says in str(error.value)


def test_without_the_program_of_a_backend_the_file_is_kept(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("PATH", str(tmp_path))
    config = parsing.fields.load(f"{parsing.commands.CONFIGS / 'synthetic.py'}:smoke")
    file = tmp_path / "job.sh"
    monkeypatch.setattr("sys.argv", ["nasfas", "launch", "--config=synthetic:smoke"])
    given = {"backend": "slurm", "output": file}
    with pytest.raises(InputError, match=r"'sbatch' is not installed.*sbatch .*job.sh"):
        command.run(config, **given)
    assert "srun" in file.read_text() and "wrote" in capsys.readouterr().out
    stub(tmp_path, "sbatch", "exit 3")
    with pytest.raises(InputError, match="ended with exit code"):
        command.run(config, **given)
