"""Data and models in buckets, of which fsspec's file system in memory is one."""

import collections
import errno
import pathlib

import fsspec
import pytest
import smoke
from models import make_model
from test_model import require_equal

import nasfas_jax as nf
from nasfas_jax import files, storage
from nasfas_jax.commands import settings
from nasfas_jax.errors import InputError


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """An empty file system in memory; local copies are in `tmp_path`."""
    monkeypatch.setenv(storage.VARIABLE, str(tmp_path / "staged"))
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


@pytest.fixture
def read(bucket, monkeypatch):
    """Numbers of downloads by name of the file."""
    counts = collections.Counter()
    get_file = type(bucket).get_file

    def counted(self, source, *others, **options):
        counts[pathlib.PurePosixPath(source).name] += 1
        return get_file(self, source, *others, **options)

    monkeypatch.setattr(type(bucket), "get_file", counted)
    return counts


def test_a_model_is_saved_to_an_address_and_loaded(bucket, tmp_path):
    model = make_model()
    model.save("memory://bucket/models/cdn")
    model.save(tmp_path / "cdn")
    require_equal(nf.load("memory://bucket/models/cdn"), nf.load(tmp_path / "cdn"))
    names = {path.name for path in (tmp_path / "cdn").iterdir()}
    assert {p.rpartition("/")[2] for p in bucket.find("/bucket/models/cdn")} == names
    # pathlib makes one slash of two.
    require_equal(nf.load(pathlib.Path("memory://bucket/models/cdn")), model)


def test_a_model_whose_upload_was_interrupted_is_refused(bucket, monkeypatch):
    """The description, with the checksums of all files, is uploaded last."""
    make_model().save("memory://bucket/m")
    other = make_model(
        steps=41, settings={"seed": 1, "learning_rate": 1.0, "decay": "x"}
    )
    put_file = type(bucket).put_file

    def put(self, source, target, **options):
        if target.endswith("model.json"):
            raise TimeoutError("too slow")
        return put_file(self, source, target, **options)

    monkeypatch.setattr(type(bucket), "put_file", put)
    with pytest.raises(InputError, match=r"memory://bucket/m cannot be .*too slow"):
        other.save("memory://bucket/m")
    with pytest.raises(InputError, match=r"README.md was cut or changed"):
        nf.load("memory://bucket/m")


def test_data_are_read_from_a_local_copy(bucket, read, folder, data, tmp_path):
    bucket.put(str(folder / "data"), "/bucket/data", recursive=True)
    staged = nf.open_data("memory://bucket/data")
    assert staged.digest == data.digest
    assert len(staged.splits["train"]) == len(data.splits["train"]) > 0
    assert max(read.values()) == 1 and files.LOCK not in read
    # As the command's flag --data_dir, after pathlib; nothing is copied again.
    config = smoke.config()
    place = settings.data_folder("runs/x", "memory://bucket/data")
    assert settings.open_data(config, place).digest == data.digest
    assert max(read.values()) == 1
    (copy,) = (tmp_path / "staged").iterdir()
    assert copy.name.startswith("data-")


def test_only_what_has_changed_is_copied_again(bucket, read):
    bucket.pipe({"/b/f/same": b"1", "/b/f/deep/changed": b"2", "/b/f/gone": b"3"})
    copy = storage.local("memory://b/f")
    assert (copy / "deep/changed").read_bytes() == b"2"
    bucket.pipe({"/b/f/deep/changed": b"4", "/b/f/new": b"5"})
    bucket.rm("/b/f/gone")
    assert storage.local("memory://b/f/") == copy
    assert read == {"same": 1, "changed": 2, "gone": 1, "new": 1}
    there = [p for p in copy.rglob("*") if p.is_file() and p.name[0] != "."]
    found = {p.name: p.read_bytes() for p in there}
    assert found == {"same": b"1", "changed": b"4", "new": b"5"}


def test_a_copy_that_was_interrupted_is_repeated(bucket, monkeypatch):
    bucket.pipe({"/b/f/one": b"1", "/b/f/two": b"2"})
    get_file = type(bucket).get_file

    def fail(self, source, target, **options):
        if source.endswith("two"):
            raise ConnectionError("reset")
        return get_file(self, source, target, **options)

    with monkeypatch.context() as context:
        context.setattr(type(bucket), "get_file", fail)
        with pytest.raises(InputError, match=r"cannot be read or written.*reset"):
            storage.local("memory://b/f")
    copy = storage.local("memory://b/f")
    assert (copy / "two").read_bytes() == b"2"


def test_a_full_disk_is_named(bucket, monkeypatch):
    bucket.pipe("/b/f/one", b"1")
    space = collections.namedtuple("Usage", ("total", "used", "free"))(1, 1, 0)
    with monkeypatch.context() as context:
        context.setattr(storage.shutil, "disk_usage", lambda folder: space)
        with pytest.raises(InputError, match=rf"free. Set {storage.VARIABLE}"):
            storage.local("memory://b/f")

    def full(self, *others, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(bucket), "get_file", full)
    with pytest.raises(InputError, match=r"The disk that holds .* is full"):
        storage.local("memory://b/f")


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("memory://nowhere/x", "expected a folder with files, got none"),
        ("nosuch://bucket/x", "nosuch://bucket/x cannot be read .*[Pp]rotocol"),
        ("gs://bucket/x", r"pip install 'nasfas_jax\[gcs\]'"),
        ("s3://bucket/x", r"pip install 'nasfas_jax\[s3\]'"),
    ],
)
def test_wrong_addresses_are_refused(bucket, place, says, monkeypatch):
    for name in ("gcsfs", "s3fs"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(InputError, match=says):
        nf.open_data(place)


@pytest.mark.parametrize("command", ["train", "prepare", "synthesize"])
def test_a_run_needs_a_file_system(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"output": "gs://bucket/run", "layout": "oulu_npu"}
    given = given if command == "synthesize" else {}
    with pytest.raises(InputError, match=r"file system, got gs://bucket/run.*mounted"):
        smoke.execute(command, "gs://bucket/run", **given)
    assert not list(tmp_path.iterdir())
