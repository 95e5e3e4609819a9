"""Nothing is tested on what it learned from, and no run becomes another one."""

import json
import pathlib
import shutil
import warnings

import numpy as np
import pytest
import smoke

from nasfas_jax import files, runtime
from nasfas_jax.commands import evaluate, predict, report, settings
from nasfas_jax.data.loading.provenance import Provenance
from nasfas_jax.data.preparation import faces
from nasfas_jax.errors import InputError
from nasfas_jax.workflows import records
from nasfas_jax.workflows.model import Model

ROOT = pathlib.Path(__file__).parents[1]


def make_run(workdir, *, data_dir=None, **fields):
    """The smoke run of DepthNet in a folder, with changed config fields."""
    config = smoke.config()
    config.networks = ("depthnet",)
    config.update_from_flattened_dict(fields)
    return {"config": config, "workdir": workdir, "data_dir": data_dir}


def open_data(run):
    return settings.open_data(run["config"], run["data_dir"])


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A folder in which DepthNet was trained for dom_m and evaluated."""
    workdir = tmp_path_factory.mktemp("records")
    for command in ("prepare", "train", "evaluate"):
        smoke.execute(command, **make_run(workdir))
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
    smoke.execute("prepare", **make_run(workdir, **subjects))
    return workdir / "data"


def refusal(command, run):
    with pytest.raises(InputError) as error:
        smoke.execute(command, **run)
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
    data = open_data(run)
    object.__setattr__(data, "digest", "0" * 64)
    with pytest.raises(InputError, match="the prepared records differ"):
        evaluate.require_same(trained / "train" / "depthnet", data, "dom_m")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", 1),
        ("train.learning_rate", 0.5),
        ("train.batch_size", 2),
        ("train.steps", 2),
        ("train.decay", "constant"),
        ("train.augment", "standard"),
        ("train.view.target", "location"),
        ("train.width", 1 / 16),
    ],
)
def test_changed_settings_are_listed_and_refused(original, trained, field, value):
    run = make_run(trained, data_dir=original / "data", **{field: value})
    names = {"train.steps": "steps", "train.width": "network.width"}
    before = {p: p.read_bytes() for p in trained.rglob("*") if p.is_file()}
    assert f"{names.get(field, field)} was " in refusal("train", run)
    changed = [p for p, text in before.items() if p.read_bytes() != text]
    assert not changed


def test_free_settings_and_more_steps_are_accepted(original, trained, capsys):
    data = original / "data"
    free = make_run(trained, data_dir=data, **{"train.log_every": 1})
    smoke.execute("train", **free)
    assert "depthnet: was trained before, 3 steps, " in capsys.readouterr().out
    summary = json.loads((trained / "train/depthnet/summary.json").read_text())
    assert summary["wall_seconds"] > 1  # of the first start
    longer = make_run(trained, data_dir=data, **{"train.steps": 4})
    smoke.execute("train", **longer)
    assert records.read(trained / "train" / "depthnet").steps == [3, 4]
    assert Model.load(trained / "train/depthnet/model").threshold is None
    said = refusal("report", longer)  # the results are of three steps
    assert "earlier training of depthnet" in said
    smoke.execute("evaluate", **longer)
    assert "training was extended: 3, then 4 steps" in capsys.readouterr().out


def test_checkpoints_without_a_record_are_refused(original, trained):
    (trained / "train" / "depthnet" / "record.json").unlink()
    run = make_run(trained, data_dir=original / "data")
    assert "the training data of" in refusal("train", run)
    assert "no trained network" in refusal("evaluate", run)


@pytest.mark.parametrize("text", ["", '{"settings": 1', "[]"])
def test_a_damaged_record_is_refused(original, trained, text):
    (trained / "train" / "depthnet" / "record.json").write_text(text)
    run = make_run(trained, data_dir=original / "data")
    assert "record.json is damaged" in refusal("evaluate", run)


def test_predict_takes_the_model_of_the_training(
    original, trained, tmp_path, capsys, monkeypatch
):
    class Fixed:
        name = "haar"

        def __call__(self, image):
            return faces.Face(np.array([20.0, 8, 24, 30]))

    monkeypatch.setattr(predict.settings, "detector", lambda _: Fixed())
    video = next((original / "videos" / "dom_m").rglob("*.mp4"))
    predict.run(workdir=trained, input=video, output=tmp_path / "out")
    result = json.loads((trained / "evaluate/depthnet/result.json").read_text())
    said = capsys.readouterr().out
    assert f"(threshold {result['threshold']:.4f} from development data)" in said
    for folder, found in ((trained, "cdn, depthnet there"), (tmp_path / "x", "none")):
        (trained / "train" / "cdn").mkdir(exist_ok=True)
        with pytest.raises(InputError, match=f"--network is missing: .*found {found}"):
            predict.run(workdir=folder, input=video)


def test_one_process_writes_to_a_run(original, trained):
    run = make_run(trained, data_dir=original / "data")
    with files.locked(trained / "train" / "depthnet"):
        assert "Another process" in refusal("train", run)


def test_the_report_describes_the_records(original, trained):
    run = make_run(trained, data_dir=original / "data")
    record = evaluate.require_current(trained, "depthnet", open_data(run), "dom_m")
    with pytest.raises(InputError, match=r"was not evaluated in .*nasfas evaluate"):
        evaluate.require_current(trained, "cdn", open_data(run), "dom_m")
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
    data = open_data(run)
    learned = Provenance.of(data, ["dom_c", "dom_i", "dom_m"])
    path = trained / "train" / "depthnet" / "record.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "genotype": vars(learned)}))
    said = refusal("evaluate", run)
    assert said.startswith("The search that found the architecture of ")
    assert "learned from dom_c, dom_i, dom_m; testing on dom_m" in said


def test_an_unfinished_training_is_noted(original, trained, capsys):
    folder = trained / "train" / "depthnet"
    shutil.rmtree(folder / "model")
    checkpoint = max((folder / "checkpoints").iterdir(), key=lambda p: int(p.name))
    assert checkpoint.name == "3"
    next(p for p in checkpoint.rglob("*") if p.is_file()).write_bytes(b"")
    run = make_run(trained, data_dir=original / "data")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", runtime.DamagedCheckpoint)
        smoke.execute("evaluate", **run)
    assert "checkpoint of step 2" in str(caught[0].message)
    assert "depthnet: note: trained for 2 of 3 steps" in capsys.readouterr().out
