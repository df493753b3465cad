"""Bad input of every kind, through the whole program: a clear message and exit code 2."""

import sys
from pathlib import Path

import pytest

from layerwright.cli.app import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder, and no data or cache of the person who runs the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LAYERWRIGHT_DATA_DIR", raising=False)
    (tmp_path / "own.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "def small():\n    return torch.zeros(8, 1, 4, 4), torch.zeros(8, dtype=torch.int64)\n"
        "class Narrow(nn.Linear):\n    def __init__(self):\n        super().__init__(3, 10)\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["train", "lennet"], ["unknown network 'lennet'", "Did you mean 'lenet'?"]),
        (["train", "lenet", "--data", "own.py:small"], ["LeNet", "(1, 4, 4)", "Fix:"]),
        (["train", "own.py:Narrow"], ["Narrow does not fit the data 'digits'", "Fix:"]),
        (["train", "--data", "minst"], ["'minst'", "Did you mean 'mnist'?"]),
        (["train", "--data", "no/photos"], ["'no/photos'", "no folder"]),
        (["train", "--data", "mnist", "--data-dir", "nowhere"], ["nowhere"]),
        (["train", "--loss", "mze"], ["'mze'", "'mse'"]),
        (["train", "--optimizer", "adamm"], ["'adamm'", "'adam'"]),
        (["train", "--metric", "acuracy"], ["'acuracy'", "'accuracy'"]),
        (["train", "--schedule", "cosin"], ["'cosin'", "'cosine'"]),
        (["train", "--init", "xavir"], ["'xavir'", "'xavier'"]),
        (["train", "--augment", "flop"], ["'flop'", "flip"]),
        (["train", "--device", "tpu"], ["'tpu'", "--device cpu"]),
        (["train", "--precision", "float8"], ["'float8'", "bfloat16"]),
        (["train", "--checkpoint-every", "often"], ["'often'", "'30s'"]),
        (["train", "--monitor", "speed"], ["'speed'", "accuracy"]),
        (["train", "--network-option", "dropp=0.1"], ["'dropp'", "'dropout'"]),
        (["train", "--optimizer-option", "momentun=0.1", "--optimizer", "sgd"], ["'momentun'"]),
        (["evaluate", "nowhere"], ["nowhere expected a run folder"]),
        (["predict", "nowhere", "x.png"], ["nowhere expected a run folder"]),
        (["resume", "nowhere"], ["nowhere expected a run folder"]),
    ],
    ids=" ".join,
)
def test_bad_input_is_explained(folder, capsys, words, parts):
    """The message has what was received and what would do; no run folder is left."""
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ")
    assert [part for part in parts if part not in shown.err] == []
    assert "Traceback" not in shown.err
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("package", "data", "extra"),
    [("sklearn", "diabetes", "data"), ("tensorboard", "digits", "tensorboard")],
)
def test_a_missing_extra_is_named(folder, capsys, monkeypatch, package, data, extra):
    """With the command that installs it."""
    for name in list(sys.modules):
        if name.split(".")[0] == package or name == "torch.utils.tensorboard":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["train", "softmax-classifier", "--data", data, "--tensorboard"]) == 2
    assert f"Fix: pip install 'layerwright[{extra}]'" in capsys.readouterr().err


def test_a_folder_with_something_in_it_is_never_overwritten(folder, capsys):
    """Neither a run nor anything else."""
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("keep me")
    assert main(["train", "softmax-classifier", "--run-dir", "mine"]) == 2
    assert capsys.readouterr().err == (
        "error: the run folder mine expected nothing in it, and is not empty. "
        "Fix: choose another --run-dir, or continue with: layerwright resume mine\n"
    )
    assert Path("mine/notes.txt").read_text() == "keep me"
