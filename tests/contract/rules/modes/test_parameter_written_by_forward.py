"""MOD004: parameters that forward moves, and those that it may touch."""

import copy
import linecache

import pytest
import torch
from torch import nn

from layerwright.contract.check import check

X = torch.randn(6, 4)


def judge(layer, x=X):
    """Run the rule alone."""
    return check(layer, x, select=["MOD004"])


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        self.linear.weight.data += 0.1 * torch.randn_like(self.linear.weight)  # here
        return self.linear(x)


class Rebinds(nn.Linear):
    def __init__(self):
        super().__init__(4, 3)

    def forward(self, x):
        if self.training:
            self.weight.data = self.weight.data * 0.9
        return super().forward(x)


class Projects(nn.Linear):
    def __init__(self):
        super().__init__(4, 3)

    def forward(self, x):
        self.weight.data = torch.renorm(self.weight.data, 2, 0, 0.5)
        return super().forward(x)


class ActNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(4))
        self.ready = False

    def forward(self, x):
        if not self.ready:
            self.bias.data.copy_(-x.detach().mean(dim=0))
            self.ready = True
        return x + self.bias


class MomentumEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.query = nn.Linear(4, 3)
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self.key.weight.data.mul_(0.5)

    def forward(self, x):
        if self.training:
            for ours, theirs in zip(self.key.parameters(), self.query.parameters(), strict=True):
                ours.data.lerp_(theirs.data, 0.1)
        return self.query(x) * self.key(x)


class NoiseForOneCall(Noisy):
    def forward(self, x):
        noise = 0.1 * torch.randn_like(self.linear.weight)
        return nn.functional.linear(x, self.linear.weight + noise, self.linear.bias)


def test_noise_that_adds_up_is_reported():
    """With the parameter, the numbers and the line that writes."""
    (finding,) = judge(nn.Sequential(Noisy())).findings
    assert (finding.severity, finding.where) == ("error", "0.linear.weight")
    assert "12 of 12 values differ" in finding.found
    assert "# here" in linecache.getline(__file__, finding.line)


def test_decay_in_training_is_reported():
    """Also if the data is replaced, not written."""
    (finding,) = judge(Rebinds()).findings
    assert finding.where == "weight"
    assert "training" in finding.found


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (Projects(), X),
        (ActNorm(), X),
        (MomentumEncoder(), X),
        (NoiseForOneCall(), X),
        (nn.Embedding(9, 3, max_norm=0.4), torch.arange(9)),
        (nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3)), X),
    ],
)
def test_what_may_be_written_passes(layer, x):
    """Projections, initialisation from data, momentum encoders, noise in a new tensor."""
    assert judge(layer, x).counts == {"passed": 1}
