"""`layerwright graph`: files, what is said, and exit codes."""

import json

import pytest

from layerwright.cli.app import main

NETWORKS = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Sequential(nn.Linear(4, 8), nn.ReLU()), nn.Linear(8, 3))
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file with a network, in the current folder."""
    path = tmp_path / "own.py"
    path.write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    return path


def said(capsys, *arguments):
    """Run the verb, and return its exit code and what it printed."""
    code = main(["graph", *map(str, arguments)])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_a_network_is_drawn_beside_the_user(capsys, file):
    """Named after the network, or as it was asked for; folded levels are told."""
    code, out, err = said(capsys, "lenet", "--layout", "own")
    assert (code, out, err) == (0, "graph: lenet.svg\n", "")
    assert "conv1" in (file.parent / "lenet.svg").read_text()
    code, out, _ = said(capsys, f"{file}:Net", "net.dot", "--input", "2x4", "--depth", "1")
    assert (code, out) == (0, "graph: net.dot\n1 of 2 levels; --depth 2 unfolds all\n")
    assert "ReLU" not in (file.parent / "net.dot").read_text()


def test_json_holds_items_and_edges(capsys, file):
    """One object on one line."""
    code, out, _ = said(capsys, f"{file}:Net", "--input", "2x4", "--json", "--layout", "own")
    found = json.loads(out)
    assert (code, found["ok"], found["file"], found["layout"]) == (0, True, "Net.svg", "own")
    keys = {item["key"] for item in found["items"]}
    assert all({edge["start"], edge["end"]} <= keys for edge in found["edges"])
    assert [edge["shape"] for edge in found["edges"]] == ["2x4", "2x8", "2x8", "2x3"]


def test_a_network_that_does_not_run_is_drawn_up_to_there(capsys, file):
    """With the failure in words and exit code 1."""
    code, out, err = said(capsys, f"{file}:Net", "--input", "2x5", "--layout", "own")
    assert (code, err) == (1, "")
    assert "fix:      write part 0 as nn.Linear(5, 8)" in out
    assert "failed here" in (file.parent / "Net.svg").read_text()


def test_a_run_is_drawn(capsys, run, file):
    """From its folder, without its file being named."""
    assert said(capsys, run.dir, "run.svg", "--layout", "own")[0] == 0
    assert "linear" in (file.parent / "run.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lenett"], "error: 'lenett' expected a module, and there is no module 'lenett'."),
        (["lenet", "net.pdf"], "error: a graph expected a file .svg, .png, .dot, .gv, received"),
        (["lenet", "--depth", "0"], "error: --depth expected a whole number from 1, received 0."),
        (["lenet", "none/a.svg"], "error: none/a.svg cannot be written: there is no folder none."),
        (["FILE:Net"], "error: Net expected inputs, received none. Fix: "),
    ],
)
def test_wrong_usage_ends_with_2_and_leaves_nothing(arguments, message, capsys, file):
    """And says what was expected."""
    code, out, err = said(capsys, *(text.replace("FILE", str(file)) for text in arguments))
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert [item.name for item in file.parent.iterdir()] == ["own.py"]
