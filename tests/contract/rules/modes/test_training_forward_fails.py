"""MOD008: layers that work in eval mode only, and reasons to fail in training."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check

X = torch.randn(6, 4)


def judge(layer, x=X):
    """Run the rule alone."""
    return check(layer, x, select=["MOD008"])


class Noise(nn.Module):
    def forward(self, x):
        if self.training:
            x = x + self.std * torch.randn_like(x)
        return x


class WritesLeaf(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, x):
        self.weight.clamp_(0, 1)
        return x * self.weight


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x, targets=None):
        scores = self.linear(x)
        if self.training:
            return (scores - targets["scores"]).square().mean()
        return scores


class InferenceOnly(nn.Module):
    def forward(self, x):
        if self.training:
            raise RuntimeError("this layer is for inference")
        return x


def test_a_branch_of_training_that_fails_is_reported():
    """With the error and the line."""
    (finding,) = judge(nn.Sequential(Noise())).findings
    assert finding.severity == "error"
    assert "'Noise' object has no attribute 'std'" in finding.found
    assert finding.file == __file__


def test_a_write_into_a_leaf_is_reported():
    """It fails with gradients only, which a call under no_grad does not show."""
    (finding,) = judge(WritesLeaf()).findings
    assert finding.where == "forward with gradients"
    assert "leaf" in finding.found


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (Detector(), X),
        (InferenceOnly(), X),
        (nn.BatchNorm1d(4), X[:1]),
        (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), X[:1]),
    ],
)
def test_reasons_of_its_own_are_not_judged(layer, x):
    """Targets that training wants, a refusal in words, a batch of one."""
    assert judge(layer, x).counts == {"skipped": 1}


@pytest.mark.parametrize("layer", [nn.ReLU(inplace=True), nn.Dropout(inplace=True), nn.LSTM(4, 2)])
def test_layers_that_train_pass(layer):
    """Also those that write into their input, which is no leaf here."""
    assert judge(layer).counts == {"passed": 1}
