"""`layerwright summary`: targets, output and exit codes."""

import json

import pytest

from layerwright.cli.app import main

NETWORKS = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, width=8):
        super().__init__(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3))
"""


@pytest.fixture
def file(tmp_path):
    """A file with a network."""
    path = tmp_path / "own.py"
    path.write_text(NETWORKS)
    return path


def said(capsys, *arguments):
    """Run the verb, and return its exit code and what it printed."""
    code = main(["summary", *map(str, arguments)])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_a_built_in_network_is_shown(capsys):
    """By its name, on inputs of its own; a text network brings tokens."""
    code, out, err = said(capsys, "lenet")
    assert (code, err) == (0, "")
    assert "LeNet on 4x1x28x28" in out
    assert "parameters: 44,426 (44,426 trainable, 0 frozen), 174 KiB" in out
    code, out, _ = said(capsys, "text-transformer", "--no-time", "--depth", "1")
    assert code == 0
    assert "int64" in out


def test_a_class_with_arguments_in_json(capsys, file):
    """One object on one line; with the backward pass when asked for."""
    code, out, err = said(
        capsys, f"{file}:Net(16)", "--input", "5x4", "--backward", "--json", "--no-time"
    )
    found = json.loads(out)
    assert (code, err, found["ok"]) == (0, "", True)
    assert found["flops"] == 2 * 5 * (4 * 16 + 16 * 3)
    assert found["backward_flops"] == 2 * 5 * (4 * 16 + 2 * 16 * 3)
    assert found["with_values"] is False
    assert found["uncounted"] == [{"name": "aten.relu", "num_calls": 1, "time_share": None}]


def test_a_network_that_does_not_run_ends_with_1(capsys, file):
    """The tree up to there and the fix, on stdout: it is what was asked for."""
    code, out, err = said(capsys, f"{file}:Net", "--input", "5x6")
    assert (code, err) == (1, "")
    assert "0 Linear <- failed here" in out
    assert "fix:      write part 0 as nn.Linear(6, 8)" in out


def test_a_run_folder_brings_its_own_batch(capsys, run, own_run):
    """Its network is shown as the run started it; a user's own has to be named again."""
    code, out, _ = said(capsys, run.dir, "--json")
    assert code == 0
    assert json.loads(out)["num_trainable"] == 650
    code, _, err = said(capsys, own_run.dir)
    assert (code, "Net" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lenett"], "error: 'lenett' expected a module, and there is no module 'lenett'."),
        (["FILE:Net"], "error: Net expected inputs, received none. Fix: "),
        (["FILE:Net", "--input", "4xx"], "error: --input expected SHAPE[:DTYPE"),
        (["FILE:Nett", "--input", "4x4"], "error: "),
        (["lenet", "--depth", "-1"], "error: --depth expected a whole number from 0, received -1."),
        (["lenet", "--network", "FILE:Net"], "error: --network expected a run folder, received"),
    ],
)
def test_wrong_usage_ends_with_2(arguments, message, capsys, file):
    """And says what was expected."""
    code, out, err = said(capsys, *(text.replace("FILE", str(file)) for text in arguments))
    assert (code, out) == (2, "")
    assert err.startswith(message)
