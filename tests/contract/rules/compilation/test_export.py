"""CMP003 not-exportable and CMP004 export-fixes-batch."""

import math

import torch
from torch import nn

from layerwright.contract.case import Case
from layerwright.contract.check import check


def result(rule, layer, *inputs):
    """Return what a rule comes to."""
    (found,) = check(layer, *inputs, select=[rule], tier="full").results
    assert found.outcome != "error", found.reason
    return found


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(x).view(x.shape[0], 2, 2)


class Numpy(Linear):
    def forward(self, x):
        return self.linear(x) + float(x.detach().numpy().max())


class Baked(Linear):
    def forward(self, x):
        if torch.compiler.is_exporting():
            return self.linear(x)
        return self.linear(x) * 2


class TwoWays(Linear):
    """Answers differently where gradients are recorded, as `nn.Transformer` does in eval mode."""

    def forward(self, x):
        return self.linear(x) * (2 if torch.is_grad_enabled() else 1)


class Loop(Linear):
    def forward(self, x):
        return torch.stack([self.linear(x[i]) for i in range(x.shape[0])])


class PythonRoot(Linear):
    def forward(self, x):
        return self.linear(x) / math.sqrt(x.shape[0]) * x.shape[0] ** 0.5


class LargeBatch(Linear):
    def forward(self, x):
        return self.linear(x) if x.shape[0] > 2 else self.linear(x) * 1


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(4, 4, batch_first=True)

    def forward(self, x):
        return self.rnn(x)[0]


def test_what_stops_the_export_is_found():
    """With the user's line; an exported layer with other answers is an error."""
    found = result("CMP003", nn.Sequential(Numpy()), torch.randn(3, 4)).findings[0]
    assert found.severity == "warning"
    assert "x.detach().numpy()" in found.found
    assert found.file == __file__
    found = result("CMP003", Baked(), torch.randn(3, 4)).findings[0]
    assert found.severity == "error"
    assert "12 of 12 values differ" in found.found


def test_a_layer_with_two_answers_may_be_exported_with_either():
    """Where it asks whether gradients are recorded; whatever ran before the rule."""
    for layer, inputs, kwargs in (
        (TwoWays(), (torch.randn(3, 4),), {}),
        (
            nn.Transformer(4, 2, 1, 1, 8, dropout=0.0, batch_first=True).eval(),
            (torch.randn(2, 3, 4) * 5, torch.randn(2, 3, 4) * 5),
            {"src_key_padding_mask": torch.tensor([[False, False, True]] * 2)},
        ),
    ):
        case = Case(layer, inputs, kwargs)
        for before in ((), ("REG010",)):
            results = check(case, select=["CMP003", *before], tier="full").results
            assert [item.findings for item in results] == [()] * len(results)


def test_what_fixes_the_batch_is_found():
    """With the size and the line, also in an example of one sample."""
    found = result("CMP004", Loop(), torch.randn(5, 4)).findings[0]
    assert "the batch is fixed at 5 by `return torch.stack" in found.found
    found = result("CMP004", nn.Sequential(PythonRoot()), torch.randn(1, 4)).findings[0]
    assert "math.sqrt(x.shape[0])" in found.found


def test_what_exports_passes():
    """Views by the batch, branches that leave it open, recurrent layers; no mark is left."""
    for layer in (Linear(), LargeBatch(), nn.BatchNorm1d(4), nn.Dropout()):
        for rule in ("CMP003", "CMP004"):
            assert result(rule, layer, torch.randn(4, 4)).outcome == "passed"
    x = torch.randn(3, 5, 4)
    assert result("CMP003", Recurrent(), x).findings == ()
    assert result("CMP004", Recurrent(), x).findings == ()
    assert not getattr(x, "_dynamo_dynamic_indices", None)
