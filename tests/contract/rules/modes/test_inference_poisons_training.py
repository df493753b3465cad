"""MOD005: what a call without gradients leaves behind for training."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check

X = torch.randn(6, 4)


def judge(layer):
    """Run the rule alone."""
    return check(layer, X, select=["MOD005"])


class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))
        self.tables = []

    def forward(self, x):
        if not self.tables:
            self.tables.append(torch.linspace(1, 2, 4))
        return x * self.scale * self.tables[0]


class KeepsKernel(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4))
        self.kernel = None

    def forward(self, x):
        if torch.is_grad_enabled() and self.kernel is None:
            return x @ torch.tanh(self.weight)
        if self.kernel is None:
            self.kernel = torch.tanh(self.weight)
        return x @ self.kernel


class ChecksForInference(Lazy):
    def forward(self, x):
        if not self.tables or (self.tables[0].is_inference() and torch.is_grad_enabled()):
            self.tables = [torch.linspace(1, 2, 4)]
        return x * self.scale * self.tables[0]


class FrozenNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x):
        return self.norm(x)


@pytest.mark.parametrize(
    ("layer", "where"), [(Lazy(), "tables[0]"), (nn.Sequential(Lazy()), "0.tables[0]")]
)
def test_a_table_made_in_inference_mode_is_reported(layer, where):
    """With torch's words and the attribute; a warning, for no_grad does no harm."""
    (finding,) = judge(layer).findings
    assert (finding.severity, finding.where) == ("warning", where)
    assert "Inference tensors cannot be saved for backward" in finding.found


def test_a_parameter_that_loses_its_gradient_is_reported():
    """What was kept under no_grad has no graph."""
    (finding,) = judge(KeepsKernel()).findings
    assert finding.severity == "error"
    assert "weight gets no gradient" in finding.found


@pytest.mark.parametrize(
    "layer",
    [
        ChecksForInference(),
        FrozenNorm(),
        nn.BatchNorm1d(4),
        nn.LazyLinear(3),
        nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3)),
        nn.GRU(4, 3),
    ],
)
def test_layers_that_forget_pass(layer):
    """Also one whose train() freezes a part that its constructor left in training mode."""
    assert judge(layer).counts == {"passed": 1}
