"""The first non-finite value is traced to the module that made it."""

import pytest
import torch
from torch import nn

from layerwright.training.nonfinite import find_cause


class Log(nn.Module):
    def forward(self, x):
        return torch.log(x)


class SafeSqrt(nn.Module):
    """Finite at 0, with an infinite slope there."""

    def forward(self, x):
        return torch.sqrt(x.abs() * 0)


class Inline(nn.Module):
    """Divides by zero in its own forward, between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 1)

    def forward(self, x):
        return self.second(self.first(x) / 0.0)


class Poisoned(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * float("nan")


class PoisonedLayer(nn.Module):
    def forward(self, x):
        return Poisoned.apply(x)


class ParameterOnly(nn.Module):
    """Only its own parameter's gradient is infinite."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x + torch.sqrt(self.scale)


def cause_of(network, criterion=nn.functional.mse_loss, x=None):
    torch.manual_seed(0)
    x = torch.randn(4, 3) if x is None else x
    return find_cause(network, (x,), torch.zeros(4, 1), criterion)


def test_the_module_with_the_first_bad_output_is_named():
    """The layer that takes the log of negative numbers, not the ones after it."""
    found = cause_of(nn.Sequential(nn.Linear(3, 3), nn.Sequential(Log(), nn.Linear(3, 1))))
    assert found.module == "1.0"
    assert found.what == "output of `1.0`"
    assert found.counts.endswith("infinite of 12 values")


def test_code_between_modules_is_named_by_its_parent():
    """A value that no module made belongs to the forward around it."""
    found = cause_of(nn.Sequential(Inline()))
    assert found.module == "0"
    assert found.what == "value computed in the forward of `0`, on its way to `0.second`"


def test_an_infinite_slope_is_named_although_every_output_is_finite():
    """The layer whose backward sends the infinity is named, not those it reaches."""
    found = cause_of(nn.Sequential(nn.Linear(3, 3), SafeSqrt(), nn.Linear(3, 1)))
    assert found.module == "1"
    assert found.what == "gradient with respect to the input of `1`"


def test_a_wrong_backward_is_named():
    """A hand-written backward that returns NaN."""
    found = cause_of(nn.Sequential(nn.Linear(3, 3), PoisonedLayer(), nn.Linear(3, 1)))
    assert found.module == "1"
    assert found.counts == "12 NaN and 0 infinite of 12 values"


def test_a_parameter_s_own_gradient_is_named():
    """The activations' gradients are fine, the parameter's is not."""
    found = cause_of(nn.Sequential(nn.Linear(3, 1), ParameterOnly()))
    assert found.module == "1"
    assert found.what == "gradient of parameter 1.scale in `1`"


def test_the_loss_is_named_when_every_output_is_finite():
    """Forward or backward, the loss is told from the network."""
    by_value = cause_of(nn.Linear(3, 1), criterion=lambda o, t: o.sum() * float("inf"))
    assert (by_value.module, by_value.what) == ("", "loss; every module's output is finite")
    by_slope = cause_of(nn.Linear(3, 1), criterion=lambda o, t: torch.sqrt((o * 0).sum()))
    assert (by_slope.module, by_slope.what) == (
        "",
        "gradient that the loss sends into the network",
    )


def test_a_bad_batch_is_named_first():
    """NaN in the data is the data's."""
    found = cause_of(nn.Linear(3, 1), x=torch.full((4, 3), float("nan")))
    assert found.what == "input 0 of the batch itself"


@pytest.mark.parametrize("network", [nn.Linear(3, 1), nn.Sequential(nn.Linear(3, 1), nn.ReLU())])
def test_a_healthy_step_has_no_cause_and_leaves_no_gradient(network):
    """Nothing is found where nothing is wrong; hooks and gradients are gone."""
    assert cause_of(network) is None
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(not module._forward_hooks for module in network.modules())
