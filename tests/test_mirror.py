"""Runs at an address, in fsspec's file system in memory."""

import itertools
import shutil
import time

import jax
import numpy as np
import pytest
from test_runtime import Stream, fit
from test_storage import bucket  # noqa: F401

import nasfas_jax as nf
from nasfas_jax import mirror, runtime, storage
from nasfas_jax.commands import workdir
from nasfas_jax.errors import InputError

RUN = "memory://bucket/run"


def there(bucket):  # noqa: F811
    return {name.removeprefix("/bucket/run/") for name in bucket.find("/bucket/run")}


def when_there(bucket, name):  # noqa: F811
    until = time.monotonic() + 60
    while not bucket.exists(f"/bucket/run/{name}") and time.monotonic() < until:
        time.sleep(0.01)
    assert bucket.exists(f"/bucket/run/{name}")


def steps_of(folder):
    return [(line["step"], line["loss"]) for line in runtime.read_metrics(folder)]


def test_a_run_resumes_on_another_machine_bit_for_bit(bucket, tmp_path):  # noqa: F811
    """Checkpoints and metrics of four steps are read from the address, and two follow."""
    expected = fit(tmp_path / "whole", Stream())
    with mirror.opened(RUN) as folder:
        fit(folder / "train", Stream(), steps=4)
    shutil.rmtree(tmp_path / "staged")
    names = nf.list_checkpoints(storage.local(RUN)).table()
    assert [row[1] for row in names[1:]] == ["4", "2"] and "whole" in names[1]
    shutil.rmtree(tmp_path / "staged")
    with mirror.opened(RUN) as folder:
        found = fit(folder / "train", Stream())
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    copy = storage.local(RUN) / "train"
    assert steps_of(copy) == steps_of(tmp_path / "whole")
    assert not {n for n in there(bucket) if "tmp" in n or n.startswith(".")}
    # Retention deletes at the address, too.
    assert {n.split("/")[2] for n in there(bucket) if "/checkpoints/" in n} == {
        "4",
        "6",
    }


def test_what_is_kept_here_may_be_ahead(bucket, monkeypatch):  # noqa: F811
    """A killed process: its files are used where nobody else has written."""
    with mirror.opened(RUN) as folder:
        (folder / "metrics").write_text("1")
    with monkeypatch.context() as context:
        context.setattr(mirror.Mirror, "upload", lambda self: None)
        with mirror.opened(RUN) as folder:
            (folder / "metrics").write_text("1\n2")
    assert bucket.cat("/bucket/run/metrics") == b"1"
    with mirror.opened(RUN) as folder:
        assert (folder / "metrics").read_text() == "1\n2"
    assert bucket.cat("/bucket/run/metrics") == b"1\n2"
    bucket.pipe("/bucket/run/metrics", b"3")
    (folder / "own").touch()
    with mirror.opened(RUN) as folder:
        assert (folder / "metrics").read_text() == "3"
        assert not (folder / "own").exists()


def test_files_that_describe_others_are_uploaded_last(bucket, monkeypatch):  # noqa: F811
    """They are absent after an upload that was interrupted, and old files are kept."""
    with mirror.opened(RUN) as folder:
        (folder / "old").touch()
    put_file, left = type(bucket).put_file, itertools.count(2, -1)

    def put(self, source, target, **options):
        if not next(left):
            raise TimeoutError("too slow")
        return put_file(self, source, target, **options)

    with monkeypatch.context() as context:
        context.setattr(type(bucket), "put_file", put)
        with (
            pytest.raises(InputError, match=r"run cannot be read or .*too slow"),
            mirror.opened(RUN) as folder,
        ):
            (folder / "old").unlink()
            for name in ("checksums/2.json", "checkpoints/2/state", "z"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(name)
    assert there(bucket) == {"old", "checkpoints/2/state", "z"}
    with mirror.opened(RUN):
        pass
    assert there(bucket) == {"checksums/2.json", "checkpoints/2/state", "z"}


def test_files_are_uploaded_meanwhile(bucket):  # noqa: F811
    with mirror.opened(RUN, every=0.01) as folder:
        (folder / "metrics").write_text("1")
        when_there(bucket, "metrics")
        with mirror.opened(RUN) as shared:  # another process of this machine
            assert shared == folder
            (shared / "report").touch()
        when_there(bucket, "report")


def test_two_machines_at_one_address_are_refused(bucket):  # noqa: F811
    """What others add is kept; what both write is an error."""
    bucket.pipe("/bucket/run/metrics", b"1")
    with mirror.opened(RUN) as folder:
        bucket.pipe("/bucket/run/report", b"of another")
        (folder / "own").touch()
    assert there(bucket) == {"metrics", "report", "own"}
    changed = pytest.raises(InputError, match="metrics was changed by another machine")
    with changed, mirror.opened(RUN) as folder:
        (folder / "metrics").write_text("2")
        bucket.pipe("/bucket/run/metrics", b"other")
    assert bucket.cat("/bucket/run/metrics") == b"other"


def test_an_error_of_the_run_is_raised_after_an_upload(bucket):  # noqa: F811
    with pytest.raises(RuntimeError, match="of the run"), mirror.opened(RUN) as folder:
        (folder / "kept").touch()
        raise RuntimeError("of the run")
    assert there(bucket) == {"kept"}


def test_the_command_line_gets_the_copy(bucket):  # noqa: F811
    given = {"workdir": "memory:/bucket/run", "processes": "2"}
    with workdir.local("train", given, ["train"]) as (flags, argv):
        assert argv == ["train", f"--workdir={flags['workdir']}"]
        assert "staged" in flags["workdir"] and flags["processes"] == "2"
        (storage.copy_of(RUN) / "x").touch()
    assert there(bucket) == {"x"}
    for same in ({}, {"workdir": "runs/x"}):
        with workdir.local("train", same, []) as found:
            assert found == (same, [])
    found = nf.doctor(RUN, "memory://bucket/run").findings
    (row,) = [one for one in found if one.name == "workdir"]
    assert row.found.startswith(f"{RUN}: 1 files, 0.0 GB; copy in")


@pytest.mark.parametrize(
    "more", [{"process": "1"}, {"processes": "auto"}, {"engine": "slurm"}]
)
def test_several_machines_need_a_path_that_all_reach(more):
    with pytest.raises(
        InputError, match=r"--workdir: expected a path that all machines"
    ):
        workdir.local("train", {"workdir": RUN, **more}, []).__enter__()
