"""REG004: what several instances of one class hold together."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check

SHARED = nn.Embedding(5, 3)


def judged(layer, *inputs):
    """Return the result of REG004."""
    (result,) = check(layer, *inputs, select=["REG004"]).results
    return result


class WithNorm(nn.Module):
    def __init__(self, norm=nn.LayerNorm(3)):  # noqa: B008 - the fault
        super().__init__()
        self.norm = norm

    def forward(self, x):
        return self.norm(x)


class WithWeight(nn.Module):
    def __init__(self, init=torch.ones(3)):  # noqa: B008 - the fault
        super().__init__()
        self.weight = nn.Parameter(init)

    def forward(self, x):
        return x * self.weight


class WithBuffer(nn.Module):
    def __init__(self, mean=torch.zeros(3)):  # noqa: B008 - the fault
        super().__init__()
        self.register_buffer("mean", mean)

    def forward(self, x):
        return x - self.mean


class WithGlobal(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = SHARED

    def forward(self, x):
        return x + self.table.weight[0]


@pytest.mark.parametrize("build", [WithNorm, lambda: nn.Sequential(nn.Linear(3, 3), WithNorm())])
def test_a_module_as_default_argument_is_an_error(build):
    """Its weight and bias are named, also inside a larger layer."""
    findings = judged(build(), torch.randn(4, 3)).findings
    assert [item.where.rpartition("norm.")[2] for item in findings] == ["weight", "bias"]
    assert findings[0].severity == "error"
    assert "the default of the argument norm of WithNorm" in findings[0].found


def test_a_parameter_in_the_memory_of_a_default_tensor_is_an_error():
    """nn.Parameter(init) does not copy."""
    (finding,) = judged(WithWeight, torch.randn(4, 3)).findings
    assert (finding.where, finding.severity) == ("weight", "error")


@pytest.mark.parametrize("layer", [WithBuffer(), WithGlobal()])
def test_a_shared_buffer_or_global_is_a_warning(layer):
    """It may be meant."""
    (finding,) = judged(layer, torch.randn(4, 3)).findings
    assert finding.severity == "warning"


class WithActivation(nn.Module):
    def __init__(self, act=nn.ReLU(), norm=nn.LayerNorm, init=None):  # noqa: B008 - no state
        super().__init__()
        self.act, self.norm = act, norm(3)
        self.init = init

    def forward(self, x):
        return self.act(self.norm(x))


table = nn.Embedding(4, 3)


class NamesakeOfGlobal(nn.Module):
    def __init__(self, source):
        super().__init__()
        self.table = source

    def forward(self, x):
        return x + self.table.weight[0]


@pytest.mark.parametrize(
    "layer",
    [
        NamesakeOfGlobal(table),
        WithActivation(),
        WithNorm(nn.LayerNorm(3)),
        WithWeight(torch.ones(3)),
        nn.LazyLinear(2),
    ],
)
def test_sound_layers_pass(layer):
    """Stateless defaults, classes as defaults, and what the caller passes."""
    assert judged(layer, torch.randn(4, 3)).outcome == "passed"
