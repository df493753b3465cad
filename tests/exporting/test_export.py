"""`lw.export`: a file is kept if it computes the same, and only then."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

import layerwright
from layerwright.errors import ExportError, MissingExtraError, OptionError
from layerwright.exporting.opened_file import open_exported


class Lying(nn.Module):
    """Scales its input by another factor under export, as a converter with a fault does."""

    def forward(self, x):
        return x * 1.001 if torch.compiler.is_exporting() else x


class Nested(nn.Module):
    """A fault two levels deep."""

    def __init__(self):
        super().__init__()
        self.before = nn.Linear(6, 6)
        self.fault = Lying()
        self.after = nn.Linear(6, 6)

    def forward(self, x):
        return self.after(self.fault(self.before(x)).relu())


class FaultInForward(nn.Module):
    """A fault between two modules that are right."""

    def __init__(self):
        super().__init__()
        self.before = nn.Linear(6, 6)
        self.after = nn.Linear(6, 6)

    def forward(self, x):
        x = self.before(x)
        if torch.compiler.is_exporting():
            x = x + 0.01
        return self.after(x)


class BatchFromExample(nn.Module):
    """Right for batches of the size that it is exported with alone."""

    def forward(self, x):
        return x / (3 if torch.compiler.is_exporting() else x.shape[0])


class OverSamples(nn.Module):
    """A loop over the samples."""

    def forward(self, x):
        return torch.stack([2 * sample for sample in x.unbind()])


class TwoInputs(nn.Module):
    """Named inputs, of which one is a mask, and several outputs in a dict."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x, *, mask):
        hidden = self.linear(x).masked_fill(~mask.unsqueeze(-1), 0.0)
        return {"sum": hidden.sum(1), "best": hidden.sum(1).argmax(-1), "all": (hidden,)}


def convolutions():
    """A small network with what inference changes: batch norm and dropout."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(),
        nn.Linear(4 * 36, 5),
    )  # fmt: skip


def test_onnxruntime_gives_the_networks_answers(tmp_path):
    """On any batch, with a session that is nobody's but the test's; the network is not touched."""
    network = convolutions().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    exported = layerwright.export(network, tmp_path / "net.onnx", inputs=torch.randn(4, 1, 8, 8))
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    for batch in (1, 5, 17):
        x = torch.randn(batch, 1, 8, 8)
        (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        expected = network.eval()(x).detach().numpy()
        assert np.abs(found - expected).max() < 1e-5
    tried = {(item.name, item.batch) for item in exported.comparisons}
    assert {("example", batch) for batch in (1, 2, 3, 8)} < tried
    assert {"zeros", "largest value", "100 times", "subnormal"} < {name for name, _ in tried}
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_what_was_allowed_is_printed_and_tight(tmp_path):
    """Each comparison says how far off the file was and what rounding explains."""
    exported = layerwright.export(nn.Linear(6, 6), tmp_path / "net.onnx", inputs=torch.randn(4, 6))
    for item in exported.comparisons:
        assert 0 <= item.from_float64 <= item.allowed
        assert item.allowed <= 1e-5 * max(item.scale, 1e-30)
    text = str(exported)
    assert "off float64  allowed" in text
    assert "input input: float32 (batch, 6)" in text
    row = exported.as_dict()["comparisons"][0]
    assert row["name"] == "example"
    assert row["allowed"] > 0
    json.dumps(exported.as_dict())


@pytest.mark.parametrize(
    ("network", "place"),
    [
        (nn.Sequential(nn.Linear(6, 6), Nested(), nn.ReLU()), "1.fault (Lying), by 0.1 % of"),
        (nn.Sequential(nn.Linear(6, 6), FaultInForward(), nn.ReLU()), "1 (FaultInForward)"),
        (FaultInForward(), "the code of FaultInForward.forward"),
    ],
    ids=["module", "forward of a part", "own forward"],
)
def test_a_file_that_computes_something_else_is_not_kept(network, place, tmp_path):
    """The first module whose output differs is named, and the file of before is still there."""
    path = tmp_path / "net.onnx"
    path.write_bytes(b"an older file")
    with pytest.raises(ExportError) as caught:
        layerwright.export(network, path, inputs=torch.randn(4, 6))
    assert f"The first module whose output differs is {place}" in str(caught.value)
    assert "values differ, the most by" in str(caught.value)
    assert path.read_bytes() == b"an older file"
    assert [item.name for item in tmp_path.iterdir()] == ["net.onnx"]


@pytest.mark.slow
def test_a_pt2_file_that_computes_something_else_is_not_kept(tmp_path):
    """The same for torch's own format."""
    with pytest.raises(ExportError, match=r"differs is fault \(Lying\), by 0\.1 % of its largest"):
        layerwright.export(Nested(), tmp_path / "net.pt2", inputs=torch.randn(4, 6))
    assert list(tmp_path.iterdir()) == []


def test_a_file_for_one_batch_size_is_not_kept(tmp_path):
    """Right for the example's batch, wrong for another."""
    with pytest.raises(ExportError, match=r"example inputs, batch of 1, 4 of 4 values differ"):
        layerwright.export(BatchFromExample(), tmp_path / "net.onnx", inputs=torch.randn(3, 4))
    with pytest.raises(ExportError, match=r"any size in dim 0 of x, .* or give --fixed-batch"):
        layerwright.export(OverSamples(), tmp_path / "net.onnx", inputs=torch.randn(3, 4))
    assert list(tmp_path.iterdir()) == []


def test_a_fixed_batch_is_exported_when_it_is_asked_for(tmp_path):
    """Then no other batch is tried."""
    exported = layerwright.export(
        OverSamples(), tmp_path / "net.onnx", inputs=torch.randn(3, 4), fixed_batch=True
    )
    assert {item.batch for item in exported.comparisons} == {3}
    assert exported.inputs == [{"name": "x", "dtype": "float32", "shape": [3, 4]}]


def test_named_inputs_and_dims_of_any_size(tmp_path):
    """Keyword arguments, a mask, a dict of outputs; the length is free when it is asked for."""
    network = TwoInputs()
    inputs = {"x": torch.randn(4, 5, 4), "mask": torch.rand(4, 5) < 0.7}
    exported = layerwright.export(
        network, tmp_path / "net.onnx", inputs=inputs, dynamic_dims={"x": [1], "mask": [1]}
    )
    assert [item["shape"] for item in exported.inputs] == [["batch", "x_1", 4], ["batch", "mask_1"]]
    assert {"size 6", "size 10", "size 1"} < {item.name for item in exported.comparisons}
    x, mask = torch.randn(2, 9, 4), torch.rand(2, 9) < 0.5
    found = open_exported(tmp_path / "net.onnx").run([x.numpy(), mask.numpy()])
    expected = network(x, mask=mask)
    assert np.allclose(found[0], expected["sum"].detach(), atol=1e-5)
    assert found[1].tolist() == expected["best"].tolist()
    with pytest.raises(OptionError, match=r"argument of forward \(x, mask\), received 'y'"):
        layerwright.export(network, tmp_path / "b.onnx", inputs=inputs, dynamic_dims={"y": [1]})
    with pytest.raises(OptionError, match=r"dims from 1 to 2 \(0 is the batch\), received 3"):
        layerwright.export(network, tmp_path / "b.onnx", inputs=inputs, dynamic_dims={"x": [3]})


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")  # torch 2.11's own load
def test_a_pt2_file_runs_in_plain_torch(run, pt2_file):
    """Without layerwright, on any batch; no path of this machine is in it."""
    module = torch.export.load(pt2_file).module()
    for batch in (1, 6):
        x = torch.randn(batch, 1, 8, 8)
        assert torch.equal(module(x), run.network.eval()(x))
    assert str(run.dir.parent).encode() not in pt2_file.read_bytes()
    assert b"softmax_classifier.py" not in pt2_file.read_bytes()


def test_weights_are_written_bit_for_bit(tmp_path):
    """Tied tensors once; plain safetensors reads them."""
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.BatchNorm1d(3))
    network[1].weight = network[0].weight
    exported = layerwright.export(network, tmp_path / "net.safetensors", inputs=torch.randn(2, 3))
    found = load_file(tmp_path / "net.safetensors")
    for name, value in found.items():
        assert torch.equal(value, network.state_dict()[name])
    assert set(network.state_dict()) - set(found) == {"1.weight"}
    assert "8 tensors, each the same bit for bit" in str(exported)
    with safe_open(tmp_path / "net.safetensors", "pt") as opened:
        assert json.loads(opened.metadata()["aliases"]) == {"1.weight": "0.weight"}
    fresh = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.BatchNorm1d(3))
    fresh[1].weight = fresh[0].weight
    fresh.load_state_dict(found, strict=False)
    x = torch.randn(4, 3)
    assert torch.equal(fresh.eval()(x), network.eval()(x))


def test_a_file_of_weights_that_differ_is_not_kept(tmp_path, monkeypatch):
    """A tensor that was changed on its way is named."""
    from layerwright.exporting import safetensors_file

    def wrong(tensors, path, metadata):
        safetensors_file_save({**tensors, "bias": tensors["bias"] + 1e-6}, path, metadata)

    safetensors_file_save = safetensors_file.save_file
    monkeypatch.setattr(safetensors_file, "save_file", wrong)
    with pytest.raises(ExportError, match=r"bias in the file is not bias of the network"):
        layerwright.export(nn.Linear(2, 2), tmp_path / "w.safetensors", inputs=torch.randn(2, 2))
    assert list(tmp_path.iterdir()) == []


def test_answers_that_differ_each_time_are_refused(tmp_path):
    """There is nothing to compare with."""

    class Noisy(nn.Module):
        def forward(self, x):
            return x + torch.rand_like(x)

    with pytest.raises(ExportError, match=r"expected one answer to the same inputs in eval mode"):
        layerwright.export(Noisy(), tmp_path / "net.onnx", inputs=torch.randn(3, 4))


def test_what_cannot_be_captured_is_said_in_words(tmp_path):
    """Torch's reason, and what to do."""

    class Counting(nn.Module):
        def forward(self, x):
            return x * float(x.detach().numpy().mean())

    with pytest.raises(ExportError, match=r"Counting expected to be one graph.*Fix: keep values"):
        layerwright.export(Counting(), tmp_path / "net.onnx", inputs=torch.randn(3, 4))
    assert list(tmp_path.iterdir()) == []


def test_whole_numbers_and_steps_are_compared_where_rounding_leaves_them(tmp_path):
    """An argmax must be the same; one that rounding decides is left out."""

    class Steps(nn.Module):
        def forward(self, x):
            return x.argmax(1), (x * 4).round()

    x = torch.tensor([[1.0, 2.0, 2.0], [0.3, 0.1, 0.2], [0.0, 5.0, 1.0]])
    exported = layerwright.export(Steps(), tmp_path / "net.onnx", inputs=x)
    assert all(item.problem is None for item in exported.comparisons)


def test_wrong_usage_is_told_before_any_work(tmp_path):
    """Another suffix, no inputs, no folder."""
    network = nn.Linear(2, 2)
    with pytest.raises(OptionError, match=r"ending in \.safetensors, \.pt2, \.onnx, received"):
        layerwright.export(network, tmp_path / "net.pth", inputs=torch.randn(2, 2))
    with pytest.raises(OptionError, match=r"expected inputs for Linear, received none. Fix"):
        layerwright.export(network, tmp_path / "net.onnx")
    with pytest.raises(OptionError, match=r"is none\. Fix: make it"):
        layerwright.export(network, tmp_path / "no" / "a.safetensors", inputs=torch.randn(2, 2))


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    """Before anything is written."""
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'layerwright\[export\]'"):
        layerwright.export(nn.Linear(2, 2), tmp_path / "net.onnx", inputs=torch.randn(2, 2))
