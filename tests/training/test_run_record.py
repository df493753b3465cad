"""A run's folder, read as far as it is intact."""

import json
import shutil

import pytest

import layerwright
from layerwright.errors import RunFolderError
from layerwright.training.run_record import read_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two epochs."""
    folder = tmp_path_factory.mktemp("record") / "run"
    return layerwright.fit("softmax-classifier", "digits", epochs=2, run_dir=folder)


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of its folder, to be damaged."""
    return shutil.copytree(finished.dir, tmp_path / "copy")


def test_a_finished_run_is_read_as_it_was_returned(finished):
    """History, test, best row and times are those of the run."""
    record = read_run(finished.dir)
    assert list(record.history) == finished.history
    assert record.test == finished.test
    assert record.best == finished.best
    assert set(record.seconds) == {1, 2}
    assert (record.status, record.finished) == ("finished after 2 epochs", True)
    assert record.environment["layerwright"] == layerwright.__version__
    assert record.problems == ()


def test_reading_changes_nothing_in_the_folder(folder):
    """Not even a lock: another process may train into it."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    read_run(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_line_that_was_cut_ends_the_rows(folder):
    """What stands before it is used, and the problem is named."""
    file = folder / "metrics.jsonl"
    file.write_text(file.read_text().splitlines()[0] + '\n{"epoch": 2, "tr')
    record = read_run(folder)
    assert [row["epoch"] for row in record.history] == [1]
    assert record.problems == ("metrics.jsonl is damaged from line 2 on; 1 are used.",)


def test_an_unfinished_run_says_how_far_it_came(folder):
    """By its epochs, and by its newest checkpoint where one is intact."""
    rows = (folder / "metrics.jsonl").read_text().splitlines()
    (folder / "metrics.jsonl").write_text(rows[0] + "\n")
    shutil.rmtree(folder / "checkpoints")
    record = read_run(folder)
    assert (record.status, record.finished) == ("not finished: 1 of 2 epochs", False)
    assert "expected an intact checkpoint. It holds none." in record.problems[0]
    assert record.best is None


def test_files_that_are_missing_are_problems(folder):
    """None of them ends the reading."""
    for name in ("metrics.jsonl", "timing.jsonl", "environment.json"):
        (folder / name).unlink()
    record = read_run(folder)
    assert record.history == ()
    assert record.environment == {}
    assert [text.split()[0] for text in record.problems] == [
        "metrics.jsonl",
        "timing.jsonl",
        "environment.json",
    ]


@pytest.mark.parametrize("part", ["recipe", "resolved", "data"])
def test_a_config_that_is_not_whole_is_an_error(folder, part):
    """Without it nothing of the run can be read."""
    config = json.loads((folder / "config.json").read_text())
    config[part] = 3
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunFolderError, match=f"its part '{part}' is not whole"):
        read_run(folder)
