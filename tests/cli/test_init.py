"""`layerwright init`: targets, verdicts and exit codes."""

import json

import pytest

from layerwright.cli.app import main

NETWORKS = """
import torch
from torch import nn
import layerwright as lw

class Net(nn.Sequential):
    example_inputs = (torch.randn(8, 16),)

    def __init__(self, depth=2):
        layers = [m for _ in range(depth) for m in (nn.Linear(16, 16), nn.Tanh())]
        super().__init__(*layers, nn.Linear(16, 3))

fading = lw.Case(lambda: Net(40), torch.randn(8, 16))
"""


@pytest.fixture
def file(tmp_path):
    """A file with a network and a case."""
    path = tmp_path / "own.py"
    path.write_text(NETWORKS)
    return path


def said(capsys, *arguments):
    """Run the verb, and return its exit code and what it printed."""
    code = main(["init", *map(str, arguments)])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_a_built_in_network_is_healthy(capsys):
    """A table, a verdict, exit code 0; the same numbers under the same seed."""
    code, out, err = said(capsys, "softmax-classifier", "--input", "6x1x8x8")
    assert (code, err) == (0, "")
    assert "nothing sick found:" in out
    assert said(capsys, "softmax-classifier", "--input", "6x1x8x8")[1] == out


def test_a_sick_network_ends_with_1(capsys, file):
    """A class with arguments, or a case; the verdict names the cure, in words and in JSON."""
    code, out, _ = said(capsys, f"{file}:Net(40)")
    assert code == 1
    assert "sick (signal lost): each of 41 layers passes on" in out
    assert "cure, tried on a copy: lw.initialize(network, " in out
    code, out, err = said(capsys, f"{file}:fading", "--json")
    found = json.loads(out)
    assert (code, err, found["ok"]) == (1, "", False)
    assert found["findings"][0]["kind"] == "signal lost"
    assert found["before"]["dependence"] < 1e-5
    assert found["after"]["dependence"] > 0.1


def test_a_recipe_is_shown_and_a_healthy_network_stays_healthy(capsys, file):
    """The example inputs of the class are taken, where none are given."""
    code, out, _ = said(capsys, f"{file}:Net", "--recipe", "orthogonal")
    assert code == 0
    assert "Net, before -> after orthogonal" in out


def test_a_run_folder_is_shown_as_it_started(capsys, run, own_run):
    """On its first batch; the user's own network is named again."""
    code, out, _ = said(capsys, run.dir, "--json")
    layers = json.loads(out)["before"]["layers"]
    assert code == 0
    assert layers[0]["name"]
    code, _, err = said(capsys, own_run.dir)
    assert code == 2
    assert "Net" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lenett"], "error: 'lenett' expected a module, and there is no module 'lenett'."),
        (["FILE"], "error: "),
        (
            ["FILE:Net", "--recipe", "xavierr"],
            "error: unknown initialisation recipe 'xavierr'. Did you mean 'xavier'?",
        ),
        (
            ["FILE:Net", "--input", "4x5"],
            "error: Net expected to run on the inputs, and raised RuntimeError: mat1 and mat2",
        ),
        (
            ["FILE:Net", "--network", "FILE:Net"],
            "error: --network expected a run folder, received FILE:Net.",
        ),
        (
            ["FILE:Net", "--picture", "a.pdf"],
            "error: a picture expected a file .png or .svg, received 'a.pdf'.",
        ),
    ],
)
def test_wrong_usage_ends_with_2(arguments, message, capsys, file):
    """And says what was expected."""
    code, out, err = said(capsys, *(text.replace("FILE", str(file)) for text in arguments))
    assert (code, out) == (2, "")
    assert err.startswith(message.replace("FILE", str(file)))
