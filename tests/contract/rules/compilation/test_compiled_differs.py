"""CMP002 compiled-differs."""

import torch
from torch import nn

from layerwright.contract.check import check


def result(layer, *inputs):
    """Return what the rule comes to."""
    (found,) = check(layer, *inputs, select=["CMP002"], tier="full").results
    assert found.outcome != "error", found.reason
    return found


class OtherPath(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        return self.linear(x) if torch.compiler.is_compiling() else self.linear(x) + 1


class OtherGradient(OtherPath):
    def forward(self, x):
        y = self.linear(x)
        return y + (y - y.detach()) if torch.compiler.is_compiling() else y


class OtherStatistics(OtherPath):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x):
        if self.training and not torch.compiler.is_compiling():
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        return self.linear(x - self.mean)


class Annealed(OtherPath):
    """Changes a buffer and uses it: torch's compiler takes a wrong one in the backward pass."""

    def __init__(self):
        super().__init__()
        self.register_buffer("heat", torch.tensor(2.0))

    def forward(self, x):
        if self.training:
            self.heat.mul_(0.9)
        return (self.linear(x) / self.heat).softmax(-1)


class WrongBesideStatistics(OtherGradient):
    """Has statistics, which its answer in training mode does not depend on."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x):
        return super().forward(self.norm(x))


class Routed(nn.Module):
    """Takes the better of two experts: a rounding may decide."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(3, 2)
        self.experts = nn.Parameter(torch.randn(2, 3))

    def forward(self, x):
        return x * self.experts[self.router(x).argmax(-1)]


def test_differences_are_found():
    """In the output, in a gradient only, in what training leaves in a buffer."""
    found = result(OtherPath(), torch.randn(4, 3)).findings[0]
    assert found.severity == "error"
    assert found.where == "forward in eval mode, output"
    assert "12 of 12 values differ" in found.found
    assert "gradient of" in result(OtherGradient(), torch.randn(4, 3)).findings[0].where
    found = result(OtherStatistics(), torch.randn(4, 3)).findings[0]
    assert found.where.startswith("forward in training mode")


def test_equal_answers_pass():
    """Dropout in training is left out, experts and batch statistics are not."""
    for layer in (Routed(), nn.BatchNorm1d(3), nn.Dropout(0.5)):
        assert result(layer, torch.randn(4, 3)).outcome == "passed"


def test_a_shape_that_torch_gets_wrong_itself_is_no_fault_of_the_layer():
    """Its fake kernel says (1,) where the loss of one sample is a scalar."""
    found = result(
        nn.MultiLabelMarginLoss(reduction="none"), torch.rand(4), torch.tensor([1, -1, 0, 2])
    )
    assert found.outcome == "skipped"
    assert "aten::multilabel_margin_loss" in found.reason


def test_no_graph_no_verdict():
    """What is not one graph cannot be compared."""
    assert result(nn.GRU(3, 4), torch.randn(5, 2, 3)).outcome == "skipped"


def test_what_torch_gets_wrong_with_a_buffer_is_a_warning():
    """Only where the answer depends on the buffer that forward changes."""
    assert result(Annealed(), torch.randn(4, 3)).findings[0].severity == "warning"
    assert result(WrongBesideStatistics(), torch.randn(4, 3)).findings[0].severity == "error"
