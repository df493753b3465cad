"""`layerwright export`: a run or a target as a file, with the table of comparisons."""

import json

import pytest

from layerwright.cli.app import main
from layerwright.exporting.opened_file import open_exported


def test_a_run_is_exported(run, tmp_path, capsys):
    """The best weights, with the table on standard output; JSON holds the same."""
    path = tmp_path / "net.onnx"
    assert main(["export", str(run.dir), str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{path}: ")
    assert lines[1] == "  input x: float32 (batch, 1, 8, 8)"
    assert lines[3].split() == ["inputs", "batch", "largest", "off", "float64", "allowed", "off",
                                "own", "left", "out"]  # fmt: skip
    assert any(line.split()[:2] == ["white", "3"] for line in lines)
    assert main(["export", str(run.dir), str(path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["file"] == str(path)
    assert {row["batch"] for row in printed["comparisons"]} == {1, 2, 3, 4, 8}
    assert open_exported(path).facts["network"] == "SoftmaxClassifier"


def test_a_target_is_exported(tmp_path, capsys):
    """file.py:Net with inputs; a length of any size, a fixed batch."""
    (tmp_path / "own.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def forward(self, tokens):\n"
        "        return tokens.cumsum(1)\n"
    )
    target, path = f"{tmp_path / 'own.py'}:Net", tmp_path / "net.onnx"
    arguments = ["export", target, str(path), "--input", "3x5"]
    assert main([*arguments, "--dynamic", "tokens:1"]) == 0
    assert "tokens: float32 (batch, tokens_1)" in capsys.readouterr().out
    assert main([*arguments, "--fixed-batch"]) == 0
    assert "tokens: float32 (3, 5)" in capsys.readouterr().out


def test_a_run_of_a_users_own_network_names_it_again(own_run, tmp_path, capsys):
    """With --network; nothing in a run folder is imported."""
    path = tmp_path / "net.safetensors"
    assert main(["export", str(own_run.dir), str(path)]) == 2
    assert "name it again with --network file.py:Net" in capsys.readouterr().err
    network = f"{own_run.dir.parent / 'own.py'}:Net"
    assert main(["export", str(own_run.dir), str(path), "--network", network]) == 0
    assert "2 tensors, each the same bit for bit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lenet", "net.pth"], "ending in .safetensors, .pt2, .onnx, received 'net.pth'"),
        (["no-such-run", "net.onnx"], "no-such-run"),
        (["lenet", "net.onnx", "--dynamic", "x"], "--dynamic expected NAME:DIM, such as tokens:1"),
        (["lenet", "net.onnx", "--network", "a.py:Net"], "a.py"),
        (["lenet", "net.onnx", "--input", "4xx"], "--input expected SHAPE"),
        (["lenet", "no/net.safetensors"], "is none. Fix: make it"),
    ],
)
def test_wrong_usage_ends_with_2_and_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    """What was expected, what was received; nothing is written."""
    monkeypatch.chdir(tmp_path)
    assert main(["export", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_differs_ends_with_1(tmp_path, capsys):
    """And is not there."""
    (tmp_path / "own.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x + 1 if torch.compiler.is_exporting() else x\n"
    )
    path = tmp_path / "net.onnx"
    assert main(["export", f"{tmp_path / 'own.py'}:Net", str(path), "--input", "3x5"]) == 1
    said = capsys.readouterr().err
    assert "was not kept: on example inputs, batch of 1, 5 of 5 values differ" in said
    assert "is the code of Net.forward" in said
    assert not path.exists()
