"""`layerwright evaluate`: the values of a trained network."""

import json
from types import SimpleNamespace

import pytest

from layerwright.cli.app import main


def test_the_test_split_is_evaluated_as_at_the_end_of_training(run, capsys):
    """One line for each value, and the same numbers as the run's."""
    assert main(["evaluate", str(run.dir)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"test loss {run.test['loss']:.4f}" in lines
    assert f"test accuracy {100 * run.test['accuracy']:.2f} %" in lines


def test_json_holds_all_digits(run, capsys):
    """Nothing but one object on stdout."""
    assert main(["evaluate", str(run.dir), "--split", "validation", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["run_dir"] == str(run.dir)
    assert printed["split"] == "validation"
    assert printed["values"]["accuracy"] == run.history[-1]["validation"]["accuracy"]


def test_tables_get_one_line_a_row(run, capsys):
    """A confusion matrix is readable; its diagonal sums up to the accuracy."""
    assert main(["evaluate", str(run.dir), "--metric", "confusion-matrix"]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("test confusion-matrix") + 1
    rows = [[float(cell) for cell in line.split()] for line in lines[start : start + 10]]
    right = sum(row[index] for index, row in enumerate(rows))
    assert right == round(run.test["accuracy"] * sum(map(sum, rows)))


def test_a_users_own_network_and_loss_are_named_again(own_run, capsys, monkeypatch):
    """Without its name, nothing is imported; with it, the values are the run's."""
    monkeypatch.chdir(own_run.dir.parent)
    assert main(["evaluate", "run"]) == 2
    assert capsys.readouterr().err == (
        "error: the run in run trained your own network (Net), and nothing in a run folder is "
        "imported. Fix: name it again with --network file.py:Net.\n"
    )
    assert main(["evaluate", "run", "--network", "own.py:Net", "--loss", "own.py:loss"]) == 0
    assert f"test accuracy {100 * own_run.test['accuracy']:.2f} %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {}),
        (["--data", "mnist", "--data-dir", "x"], {"data": "mnist", "data_dir": "x"}),
        (["--batch-size", "3", "--device", "cpu"], {"batch_size": 3, "device": "cpu"}),
        (["--loss", "mse", "--metric", "mae", "--metric", "r2"],
         {"loss": "mse", "metrics": ("mae", "r2")}),
        (["--split", "train"], {"split": "train"}),
    ],
)  # fmt: skip
def test_options_are_passed_on(words, expected, monkeypatch):
    """Those that are given; the others keep what evaluate does by itself."""
    seen = SimpleNamespace()

    def evaluate(run, data=None, **options):
        seen.options = {"run": str(run), "data": data, **options}
        return {}

    monkeypatch.setattr("layerwright.training.evaluate.evaluate", evaluate)
    assert main(["evaluate", "some/run", *words]) == 0
    defaults = {
        "run": "some/run", "data": None, "split": "test", "network": None, "loss": None,
        "metrics": (), "data_dir": None, "device": "auto",
    }  # fmt: skip
    assert seen.options == defaults | expected


def test_what_is_no_run_folder_ends_with_2(tmp_path, capsys):
    """The message says what would be one."""
    assert main(["evaluate", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path} expected a run folder, and has no config.json. "
        "Fix: name a folder that `layerwright train` wrote.\n"
    )
