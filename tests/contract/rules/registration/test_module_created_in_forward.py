"""REG007: modules and parameters that each call makes."""

import copy

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def judged(layer, *inputs):
    """Return the result of REG007."""
    (result,) = check(layer, *inputs, select=["REG007"]).results
    return result


class Calls(nn.Module):
    """Applies what `make` returns, made anew in each call."""

    def __init__(self, make):
        super().__init__()
        self.stem = nn.Linear(3, 3)
        self.make = make

    def forward(self, x):
        return self.make()(self.stem(x))


class BareParameter(nn.Module):
    def forward(self, x):
        return x * nn.Parameter(torch.randn(3))


def test_a_linear_made_by_each_call_is_an_error():
    """Its weights are random in each call."""
    layer = Calls(lambda: nn.Sequential(nn.Linear(3, 2), nn.ReLU()))
    (finding,) = judged(layer, torch.randn(4, 3)).findings
    assert finding.severity == "error"
    assert finding.where == "forward, a new Sequential"
    assert "8 trained values" in finding.found
    assert finding.file.endswith("test_module_created_in_forward.py")


def test_a_norm_made_by_each_call_is_a_warning():
    """The answer is right, and its weights are never trained."""
    (finding,) = judged(Calls(lambda: nn.LayerNorm(3)), torch.randn(4, 3)).findings
    assert finding.severity == "warning"


def test_a_dropout_made_by_each_call_does_not_hear_of_eval():
    """It is in training mode for ever."""
    (finding,) = judged(Calls(lambda: nn.Dropout(0.5)), torch.randn(4, 3)).findings
    assert finding.severity == "error"
    assert "also after eval()" in finding.found


def test_a_bare_parameter_is_found():
    """By the graph of the output."""
    (finding,) = judged(BareParameter(), torch.randn(4, 3)).findings
    assert finding.where == "forward, a new nn.Parameter"


class BuildsOnce(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = None

    def forward(self, x):
        if self.proj is None:
            self.proj = nn.Linear(x.shape[-1], 2)
        return self.proj(x)


class CopiesPart(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(3, 3)

    def forward(self, x):
        return copy.deepcopy(self.proj).requires_grad_(requires_grad=False)(x) + self.proj(x)


@pytest.mark.parametrize(
    "layer",
    [
        Calls(lambda: nn.Softmax(dim=-1)),
        Calls(lambda: nn.LayerNorm(3, elementwise_affine=False)),
        BuildsOnce(),
        CopiesPart(),
        nn.Dropout(0.5),
        nn.LSTM(3, 3),
    ],
)
def test_sound_layers_pass(layer):
    """Stateless modules, and those of the first call."""
    assert judged(layer, torch.randn(4, 3)).outcome == "passed"
