"""`layerwright predict`: the likeliest class of each file, and how likely it is."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import layerwright
from layerwright.cli.app import main


@pytest.fixture
def files(tmp_path, monkeypatch):
    """One sample, and two in one file, as saved arrays; with their values."""
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).normal(size=(3, 1, 8, 8)).astype(np.float32)
    np.save("one.npy", values[0])
    np.savez("two.npz", values[1:])
    return values


def expected_of(run, values):
    """Return class and probability of each sample, from the weights by hand."""
    weights = {name: value.double().numpy() for name, value in run.network.state_dict().items()}
    (weight,) = [value for value in weights.values() if value.ndim == 2]
    (bias,) = [value for value in weights.values() if value.ndim == 1]
    logits = values.reshape(len(values), -1).astype(np.float64) @ weight.T + bias
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return [(int(row.argmax()), row.max()) for row in chances]


def test_each_sample_gets_its_class_and_probability(run, files, capsys):
    """A file with several samples gets a line for each."""
    assert main(["predict", str(run.dir), "one.npy", "two.npz"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["one.npy", "two.npz[0]", "two.npz[1]"]
    expected = [
        [str(label), f"{100 * chance:.2f}", "%"] for label, chance in expected_of(run, files)
    ]
    assert [row[1:] for row in rows] == expected


def test_json_holds_all_digits(run, files, capsys):
    """Nothing but one object on stdout."""
    assert main(["predict", str(run.dir), "one.npy", "two.npz", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["run_dir"] == str(run.dir)
    for row, (label, chance) in zip(printed["predictions"], expected_of(run, files), strict=True):
        assert row["class"] == str(label)
        assert row["probability"] == pytest.approx(chance, rel=1e-5)


def test_an_image_is_recognised_as_in_training(run, tmp_path, capsys):
    """A digit saved as an image of any size gets the class that its pixels get."""
    image = pytest.importorskip("PIL.Image")
    data = layerwright.data.catalog.load_data("digits")
    raw = data.test.inputs[0][:20].float()  # 0 to 16
    batch = data.test.normalization.apply(raw)
    with torch.no_grad():
        classes = run.network.eval()(batch).argmax(dim=1).tolist()
    names = []
    for index, digit in enumerate(raw):
        pixels = (digit[0] * 255 / 16).round().to(torch.uint8).numpy()
        names.append(str(tmp_path / f"{index}.png"))
        image.fromarray(pixels).save(names[-1])
    assert main(["predict", str(run.dir), *names, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)["predictions"]
    assert [int(row["class"]) for row in printed] == classes


def test_a_users_own_network_is_named_again(own_run, files, capsys):
    """file.py:Net, as for resume."""
    folder = own_run.dir
    assert main(["predict", str(folder), "one.npy"]) == 2
    assert "Fix: name it again with --network file.py:Net.\n" in capsys.readouterr().err
    network = f"{folder.parent / 'own.py'}:Net"
    assert main(["predict", str(folder), "one.npy", "--network", network, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["predictions"]
    ((label, chance),) = expected_of(own_run, files[:1])
    assert (row["class"], row["probability"]) == (str(label), pytest.approx(chance, rel=1e-5))


def test_regression_prints_the_values(tmp_path, capsys, monkeypatch):
    """There is no class to name."""
    monkeypatch.chdir(tmp_path)
    inputs, targets = torch.randn(32, 2), torch.randn(32)
    run = layerwright.fit(nn.Linear(2, 1), (inputs, targets), epochs=1, run_dir="run")
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Linear(2, 1)\n"
    )
    np.save("x.npy", inputs[:2].numpy())
    assert main(["predict", "run", "x.npy", "--network", "net.py:net", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)["predictions"]
    weight, bias = (value.detach().numpy() for value in run.network.parameters())
    expected = inputs[:2].numpy() @ weight.T + bias
    assert np.allclose([row["output"] for row in printed], expected, atol=1e-6)
    assert main(["predict", "run", "x.npy", "--network", "net.py:net"]) == 0
    assert capsys.readouterr().out.startswith("x.npy[0]  [")


def test_binary_classification_prints_the_likelier_class(tmp_path, capsys, monkeypatch):
    """With the probability of that class, not always that of class 1."""
    monkeypatch.chdir(tmp_path)
    inputs = torch.tensor([[-2.0], [2.0]] * 16)
    targets = inputs[:, 0] > 0
    layerwright.fit(nn.Linear(1, 1), (inputs, targets), epochs=30, lr=0.1, run_dir="run")
    np.save("x.npy", inputs[:2].numpy())
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Linear(1, 1)\n"
    )
    assert main(["predict", "run", "x.npy", "--network", "net.py:net", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)["predictions"]
    assert [row["class"] for row in printed] == ["0", "1"]
    assert all(row["probability"] > 0.5 for row in printed)


def test_bad_files_end_with_2(run, files, capsys):
    """None at all, one that is missing, one that does not fit."""
    assert main(["predict", str(run.dir)]) == 2
    assert capsys.readouterr().err == (
        "error: predict expected files, received none. Fix: name images or .npy files.\n"
    )
    assert main(["predict", str(run.dir), "missing.npy"]) == 2
    assert "missing.npy" in capsys.readouterr().err
    np.save("wide.npy", np.zeros((1, 9, 9), np.float32))
    assert main(["predict", str(run.dir), "wide.npy"]) == 2
    assert "wide.npy" in capsys.readouterr().err
