"""`optimize`: smaller and faster, with what it costs measured and bounded."""

import json

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import layerwright
from layerwright.cli.app import main
from layerwright.errors import ExportError, OptionError
from layerwright.exporting import latency, optimizing
from layerwright.exporting.latency import latencies, torch_calls
from layerwright.exporting.opened_file import open_exported
from layerwright.initialization.examples import ExampleInputs


@pytest.fixture
def eager_alone(monkeypatch):
    """Leave the compiler out: it takes longer than all the rest."""

    def calls(network, inputs):
        return {"eager": lambda: network(*inputs.args, **inputs.kwargs)}

    monkeypatch.setattr(optimizing, "torch_calls", calls)


def classifier():
    """A network with something to fold and something to quantize, and data that it is right on."""
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    )
    network[1].running_mean.normal_()
    network.eval()
    inputs = torch.randn(200, 1, 8, 8)
    with torch.no_grad():
        scores = network(inputs)
    margin = scores.topk(2).values
    sure = (margin[:, 0] - margin[:, 1]) > margin[:, 0].abs().mean() / 10
    return network, inputs[sure], scores[sure].argmax(1)


@pytest.mark.usefixtures("eager_alone")
def test_each_step_is_measured(tmp_path):
    """Accuracy before and after, size, latency; and the file is what the last step says."""
    network, inputs, targets = classifier()
    path = tmp_path / "net.onnx"
    exported = layerwright.export(
        network, path, inputs=inputs[:4], optimize=True, data=(inputs, targets)
    )
    plain, fold, int8 = exported.optimization.steps
    assert (plain.accuracy, fold.accuracy) == (1.0, 1.0)
    assert int8.accuracy >= 0.995
    assert [step.changed for step in (fold, int8)] == ["1", "1"]
    assert int8.size_bytes == path.stat().st_size == exported.size_bytes < plain.size_bytes
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert "BatchNormalization" not in kinds
    assert kinds.count("MatMulInteger") == 1
    (found,) = open_exported(path).run([inputs.numpy()])
    assert (found.argmax(1) == targets.numpy()).mean() == pytest.approx(int8.accuracy)
    assert open_exported(path).facts["network"] == "Sequential"
    names = [item.name for item in exported.optimization.latencies]
    assert names == ["eager", "the file as trained", "the file"]
    for item in exported.optimization.latencies:
        assert 0 < item.median_ms <= item.p95_ms
    assert all(item.problem is None for item in exported.comparisons)
    text = str(exported)
    assert "linear layers in int8" in text
    assert "the first sample's answer depends on the others by up to" in text
    json.dumps(exported.as_dict())


@pytest.mark.usefixtures("eager_alone")
def test_a_loss_of_accuracy_is_refused(tmp_path):
    """One huge feature takes all eight bits; a file of that name stays."""
    network = nn.Linear(5, 2)
    inputs = torch.randn(100, 5)
    inputs[:, 0] = 1e4
    with torch.no_grad():
        network.weight[:, 0] = 0
        targets = network(inputs).argmax(1)
    path = tmp_path / "net.onnx"
    path.write_bytes(b"older")
    options = {"inputs": inputs[:4], "optimize": True, "data": (inputs, targets)}
    with pytest.raises(ExportError) as caught:
        layerwright.export(network, path, **options)
    said = str(caught.value)
    assert "in int8 (1) lowers the accuracy on the test split from 100.00 % to" in said
    assert "0.5 are allowed. Nothing was written. Fix: --max-accuracy-drop" in said
    assert path.read_bytes() == b"older"
    exported = layerwright.export(network, path, max_accuracy_drop=100, **options)
    assert exported.optimization.steps[-1].accuracy < 0.9


@pytest.mark.slow
@pytest.mark.usefixtures("eager_alone")
def test_a_pt2_file_is_folded(tmp_path):
    """Int8 is for ONNX, and the answer says so."""
    network, inputs, targets = classifier()
    path = tmp_path / "net.pt2"
    exported = layerwright.export(
        network, path, inputs=inputs[:4], optimize=True, data=(inputs, targets)
    )
    assert [step.changed for step in exported.optimization.steps] == ["", "1"]
    assert exported.optimization.notes == ["int8 is for .onnx files"]
    module = torch.export.load(path).module()
    assert "batch_norm" not in str(module.graph)
    assert torch.allclose(module(inputs), network(inputs), atol=1e-5)


def test_what_cannot_be_measured_is_refused(tmp_path):
    """No data, a task without accuracy, weights alone."""
    network = nn.Linear(2, 2)
    options = {"inputs": torch.randn(3, 2), "optimize": True}
    with pytest.raises(OptionError, match=r"expected data to measure accuracy on.*Fix: data="):
        layerwright.export(network, tmp_path / "net.onnx", **options)
    with pytest.raises(OptionError, match=r"holds weights alone"):
        layerwright.export(network, tmp_path / "net.safetensors", **options)
    targets = torch.randn(30)
    run = layerwright.fit(nn.Linear(2, 1), (torch.randn(30, 2), targets), epochs=1)
    with pytest.raises(OptionError, match=r"expected a classifier"):
        layerwright.export(run, tmp_path / "net.onnx", optimize=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("eager_alone")
def test_the_verb_measures_on_the_runs_own_data(run, tmp_path, capsys):
    """The accuracy as trained is that of `layerwright evaluate`."""
    path = tmp_path / "net.onnx"
    assert main(["export", str(run.dir), str(path), "--optimize", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)["optimization"]
    accuracy = layerwright.evaluate(run)["accuracy"]
    assert printed["steps"][0]["accuracy"] == pytest.approx(accuracy, abs=1e-9)
    assert printed["steps"][-1]["name"] == "linear layers in int8"
    assert main(["predict", str(path), str(save(tmp_path))]) == 0


def save(folder):
    """Return a file with one sample."""
    np.save(folder / "x.npy", np.zeros((1, 8, 8), np.float32))
    return folder / "x.npy"


def test_latency_is_that_of_the_call(monkeypatch):
    """A call of two milliseconds is timed as such; one that fails says why."""
    import time

    monkeypatch.setattr(latency, "CALLS", 20)

    def failing():
        raise RuntimeError("no compiler")

    fast, slow, failed = latencies(
        {"fast": lambda: None, "slow": lambda: time.sleep(0.002), "failing": failing}
    )
    assert fast.median_ms < 1
    assert 2 <= slow.median_ms <= slow.p95_ms
    assert (failed.median_ms, failed.problem) == (None, "not measured: RuntimeError: no compiler")


@pytest.mark.slow
def test_torch_compile_is_measured_too():
    """What is timed under that name is compiled."""
    network = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    calls = torch_calls(network.eval(), ExampleInputs((torch.randn(2, 8),)))
    eager, compiled = latencies(calls)
    assert eager.median_ms > 0
    assert compiled.median_ms > 0
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before + 1
