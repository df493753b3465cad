"""Overflows on the way to a number that float32 can hold."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


class Softmax(nn.Module):
    def __init__(self, *, safe=False):
        super().__init__()
        self.safe = safe

    def forward(self, x):
        scores = x * 1.0
        if self.safe:
            scores = scores - scores.amax(-1, keepdim=True)
        weights = scores.exp()
        return weights / weights.sum(-1, keepdim=True)


class LogCosh(nn.Module):
    def forward(self, prediction, target):
        return (prediction - target).cosh().log().mean()


class Swish(nn.Module):
    def forward(self, x):
        return x / (1.0 + torch.exp(-x))


@pytest.mark.parametrize(
    ("layer", "inputs", "where"),
    [
        (Softmax(), (5.0 * torch.randn(4, 6),), "forward"),
        (LogCosh(), (2.0 * torch.randn(4, 6), 2.0 * torch.randn(4, 6)), "forward"),
        (Swish(), (2.0 * torch.randn(4, 6),), "backward"),
    ],
)
def test_textbook_formulas_are_found(layer, inputs, where):
    """In forward, and in backward only."""
    (finding,) = check(layer, *inputs, select=["NUM002"]).findings
    assert finding.severity == "warning"
    assert finding.where.startswith(where)
    assert "float64" in finding.found
    assert finding.file == __file__


class Exponential(nn.Module):
    def forward(self, x):
        return x.exp()


class Polynomial(nn.Module):
    def forward(self, x):
        return x.pow(21)


@pytest.mark.parametrize(
    "layer",
    [
        Softmax(safe=True),
        Exponential(),
        Polynomial(),
        nn.Softplus(),
        nn.LogSigmoid(),
        nn.Mish(),
        nn.GELU(),
        nn.LSTM(6, 3),
        nn.LayerNorm(6),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_sound_layers_pass(layer):
    """Stable formulas, and results that are too large themselves."""
    assert check(layer, 2.0 * torch.randn(4, 6), select=["NUM002"]).counts["passed"] == 1


def test_bounded_inputs_are_not_scaled():
    """Examples in [0, 1] stay there."""
    assert check(Softmax(), torch.rand(4, 6), select=["NUM002"]).counts["skipped"] == 1


class Annealed(nn.Module):
    """A divergence whose weight is zero at first, and grows while it is trained."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 8)
        self.register_buffer("beta", torch.zeros(()))

    def forward(self, x):
        mean, log_scale = self.fc(x).chunk(2, -1)
        divergence = mean**2 + (2 * log_scale).exp() - 1 - 2 * log_scale
        return mean, self.beta * divergence.sum(-1)


def test_a_result_that_overflows_behind_a_zero_is_left_alone():
    """With any other weight the true value is infinite, and no other formula helps."""
    assert check(Annealed(), torch.randn(5, 6), select=["NUM002"]).findings == ()
