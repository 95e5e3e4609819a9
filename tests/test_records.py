"""Nothing is tested on what it learned from, and no run becomes another one."""

import json
import pathlib
import shutil
import warnings

import pytest

from nasfas_jax import commands, files, runtime
from nasfas_jax.commands import evaluate, report
from nasfas_jax.data.loading.provenance import Provenance
from nasfas_jax.errors import InputError
from nasfas_jax.workflows import records

ROOT = pathlib.Path(__file__).parents[1]


def make_run(workdir, *, data_dir=None, **fields):
    """The smoke run of DepthNet in a folder, with changed config fields."""
    spec = {}
    exec((ROOT / "configs" / "synthetic.py").read_text(), spec)
    config = spec["get_config"]("smoke")
    config.networks = ("depthnet",)
    config.update_from_flattened_dict(fields)
    data_dir = data_dir and str(data_dir)
    return commands.Run(config=config, workdir=pathlib.Path(workdir), data_dir=data_dir)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A folder in which DepthNet was trained for dom_m and evaluated."""
    workdir = tmp_path_factory.mktemp("records")
    for command in ("prepare", "train", "evaluate"):
        commands.execute(command, make_run(workdir))
    return workdir


@pytest.fixture
def trained(original, tmp_path):
    """A copy of the folder that a test may change; its data are shared."""
    for part in ("train", "evaluate"):
        shutil.copytree(original / part, tmp_path / part)
    return tmp_path


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """Prepared data of the same set with one more training subject in each domain."""
    workdir = tmp_path_factory.mktemp("grown")
    subjects = {"synthetic.subjects_per_domain": (2, 1, 1)}
    commands.execute("prepare", make_run(workdir, **subjects))
    return workdir / "data"


def refusal(command, run):
    with pytest.raises(InputError) as error:
        commands.execute(command, run)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("command", ["train", "evaluate", "report"])
def test_another_target_is_refused(original, trained, command):
    run = make_run(trained, data_dir=original / "data", target_domain="dom_o")
    said = refusal(command, run)
    recorded = "domains was ['dom_c', 'dom_i', 'dom_o']"
    assert f"{recorded} and is ['dom_c', 'dom_i', 'dom_m']" in said
    assert str(trained / "train" / "depthnet") in said


@pytest.mark.parametrize("command", ["train", "evaluate", "report"])
def test_other_people_are_refused(original, trained, grown, command):
    said = refusal(command, make_run(trained, data_dir=grown))
    assert "training subjects were added (" in said


def test_other_records_of_the_same_people_are_refused(original, trained):
    run = make_run(trained, data_dir=original / "data")
    data = run.open_data()
    object.__setattr__(data, "digest", "0" * 64)
    with pytest.raises(InputError, match="the prepared records differ"):
        evaluate.require_same(run, "depthnet", data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", 1),
        ("train.learning_rate", 0.5),
        ("train.batch_size", 2),
        ("train.steps", 2),
        ("train.decay", "constant"),
        ("train.augment", "standard"),
        ("train.view.target", "mask"),
        ("train.width", 1 / 16),
    ],
)
def test_changed_settings_are_listed_and_refused(original, trained, field, value):
    run = make_run(trained, data_dir=original / "data", **{field: value})
    names = {"train.steps": "steps", "train.width": "train.width"}
    before = {p: p.read_bytes() for p in trained.rglob("*") if p.is_file()}
    for command in ("train", "evaluate"):
        assert f"{names.get(field, field)} was " in refusal(command, run)
    changed = [p for p, text in before.items() if p.read_bytes() != text]
    assert not changed


def test_free_settings_and_more_steps_are_accepted(original, trained, capsys):
    data = original / "data"
    free = make_run(trained, data_dir=data, **{"train.log_every": 1})
    commands.execute("train", free)
    assert "depthnet was trained before, for 3 steps" in capsys.readouterr().out
    summary = json.loads((trained / "train/depthnet/summary.json").read_text())
    assert summary["wall_seconds"] > 1  # of the first start
    longer = make_run(trained, data_dir=data, **{"train.steps": 4})
    commands.execute("train", longer)
    assert records.read(trained / "train" / "depthnet").steps == [3, 4]
    config = json.loads((trained / "train/depthnet/config.json").read_text())
    assert config["train"]["steps"] == 3  # as it started
    said = refusal("report", longer)  # the results are of three steps
    assert "earlier training of depthnet" in said
    commands.execute("evaluate", longer)
    assert "training was extended: 3, then 4 steps" in capsys.readouterr().out


def test_checkpoints_without_a_record_are_refused(original, trained):
    (trained / "train" / "depthnet" / "record.json").unlink()
    run = make_run(trained, data_dir=original / "data")
    assert "what" in refusal("train", run)
    assert "no trained network" in refusal("evaluate", run)


@pytest.mark.parametrize("text", ["", '{"settings": 1', "[]"])
def test_a_damaged_record_is_refused(original, trained, text):
    (trained / "train" / "depthnet" / "record.json").write_text(text)
    run = make_run(trained, data_dir=original / "data")
    assert "record.json is damaged" in refusal("evaluate", run)


def test_predicting_needs_the_inputs_of_training(trained):
    video = next((ROOT / "docs").glob("*.png"))
    for fields, said in {
        ("train.view.input", "static"): "train.view.input was 'static_dynamic'",
        ("data.image_size", 32): "data.image_size was 16 and is 32",
        ("data.method", "ranksvm"): "data.method was 'harmonic'",
    }.items():
        run = make_run(trained, **dict([fields]))
        object.__setattr__(run, "input", str(video))
        assert said in refusal("predict", run)


def test_one_process_writes_to_a_run(original, trained):
    run = make_run(trained, data_dir=original / "data")
    with files.locked(trained / "train" / "depthnet"):
        assert "Another process" in refusal("train", run)


def test_the_report_describes_the_records(original, trained):
    run = make_run(trained, data_dir=original / "data")
    record = evaluate.require_current(run, "depthnet", run.open_data())
    assert "Learned on dom_c, dom_i, dom_o; tested on dom_m, which no part of" in (
        report.summarize({"depthnet": record})
    )
    fields = vars(record)
    other = {**fields["settings"], "train.learning_rate": 1.0}
    two = {"a": record, "b": records.Evaluation(**{**fields, "settings": other})}
    said = report.summarize(two)
    assert "different settings: train.learning_rate." in said
    assert "Every network" not in said
    unknown = {"searched": record}
    assert "whether the search of the architecture used it is unknown" in (
        report.summarize(unknown)
    )


def test_an_architecture_searched_on_the_target_is_refused(original, trained):
    run = make_run(trained, data_dir=original / "data")
    data = run.open_data()
    learned = Provenance.of(data, ["dom_c", "dom_i", "dom_m"])
    path = trained / "train" / "depthnet" / "record.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "genotype": vars(learned)}))
    said = refusal("evaluate", run)
    assert said.startswith("The search that found the architecture of ")
    assert "learned from dom_c, dom_i, dom_m; testing on dom_m" in said


def test_an_unfinished_training_is_noted(original, trained, capsys):
    folder = trained / "train" / "depthnet"
    checkpoint = max((folder / "checkpoints").iterdir(), key=lambda p: int(p.name))
    assert checkpoint.name == "3"
    next(p for p in checkpoint.rglob("*") if p.is_file()).write_bytes(b"")
    run = make_run(trained, data_dir=original / "data")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", runtime.DamagedCheckpoint)
        commands.execute("evaluate", run)
    assert "checkpoint of step 2" in str(caught[0].message)
    assert "depthnet: note: trained for 2 of 3 steps" in capsys.readouterr().out
