"""REG011: device= and dtype= that a constructor takes and forgets."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def judged(layer, *inputs):
    """Return the result of REG011."""
    (result,) = check(layer, *inputs, select=["REG011"]).results
    return result


class Forgetful(nn.Module):
    def __init__(self, num_features=3, device=None, dtype=None):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_features))

    def forward(self, x):
        return x * self.weight


class HalfForgetful(nn.Module):
    def __init__(self, num_features=3, *, dtype=None):
        super().__init__()
        self.proj = nn.Linear(num_features, num_features, dtype=dtype)
        self.out = nn.Linear(num_features, 2)

    def forward(self, x):
        return self.out(self.proj(x))


class BufferOnCpu(nn.Module):
    def __init__(self, num_features=3, device=None):
        super().__init__()
        self.proj = nn.Linear(num_features, num_features, device=device)
        self.register_buffer("mean", torch.zeros(num_features))

    def forward(self, x):
        return self.proj(x - self.mean)


def test_forgotten_arguments_are_errors():
    """One finding for each of the two."""
    device, dtype = judged(Forgetful(), torch.randn(4, 3)).findings
    assert "1 of 1 tensors are on the CPU: weight" in device.found
    assert "1 of 1 parameters are not: weight float32" in dtype.found
    assert device.severity == dtype.severity == "error"


def test_a_part_that_does_not_get_the_dtype_breaks_forward():
    """The crash is told."""
    (finding,) = judged(HalfForgetful(), torch.randn(4, 3)).findings
    assert "forward with float64 inputs raised RuntimeError" in finding.found
    assert finding.where == "out.weight"


def test_a_buffer_on_the_cpu_is_an_error():
    """Also when all parameters are where they should be."""
    (finding,) = judged(BufferOnCpu(), torch.randn(4, 3)).findings
    assert finding.where == "mean"


class KeepsFloat32(nn.Module):
    def __init__(self, num_features=3, device=None, dtype=None):
        super().__init__()
        self.proj = nn.Linear(num_features, num_features, device=device, dtype=dtype)
        self.log_decay = nn.Parameter(torch.zeros(num_features, device=device))

    def forward(self, x):
        return self.proj(x * self.log_decay.exp().to(x.dtype))


class ComputesIn(nn.Module):
    def __init__(self, num_features=3, dtype=None):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_features))
        self.dtype = dtype

    def forward(self, x):
        return (x * self.weight).to(self.dtype or x.dtype)


class TakesWeight(nn.Module):
    def __init__(self, weight, device=None):
        super().__init__()
        self.register_buffer("weight", weight)
        self.bias = nn.Parameter(torch.zeros(3, device=device))

    def forward(self, x):
        return x * self.weight + self.bias


@pytest.mark.parametrize(
    "layer",
    [
        TakesWeight(torch.ones(3)),
        KeepsFloat32(),
        ComputesIn(),
        nn.Linear(3, 3),
        nn.TransformerEncoderLayer(3, 1),
        nn.MultiheadAttention(3, 1, batch_first=True),
    ],
)
def test_sound_layers_pass(layer):
    """A parameter in float32 on purpose, a dtype to compute in, torch's own layers."""
    x = torch.randn(4, 2, 3)
    given = (x, x, x) if isinstance(layer, nn.MultiheadAttention) else (x,)
    assert judged(layer, *given).outcome == "passed"


def test_a_layer_without_such_arguments_is_skipped():
    """With the reason."""
    assert "neither device nor dtype" in judged(nn.ReLU(), torch.randn(3)).reason
