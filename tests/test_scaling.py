"""The picture of docs/scaling.py, with figures that are not compiled."""

import pathlib

import smoke

SCALING = smoke.script(pathlib.Path(__file__).parents[1] / "docs" / "scaling.py")


def test_sizes_are_compiled_once_and_drawn(tmp_path, monkeypatch):
    compiled = []

    def figures(chips, batch_size, width):
        compiled.append((chips, batch_size))
        seconds = dict.fromkeys(SCALING.RESOURCES, batch_size / chips / 1e3)
        given = {"chips": chips, "batch_size": batch_size, "width": width}
        return given | seconds

    monkeypatch.setattr(SCALING, "figures", figures)
    monkeypatch.setattr(SCALING, "RESULTS", tmp_path / "scaling.json")
    SCALING.measured([1, 4], 1.0)
    known = SCALING.measured([1, 4, 64], 1.0)
    # 256 clips need 4 chips or more; on 64 they are 4 a chip.
    assert compiled == [(1, 4), (4, 16), (4, 256), (64, 256)]
    assert len(known) == 4 and SCALING.measured([], 0.5) == {}
    assert SCALING.draw(known).data.startswith(b"<?xml")
