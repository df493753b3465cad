"""CMP009 custom-operator-unsound."""

import torch
from torch import nn

from layerwright.contract.check import check


@torch.library.custom_op("layerwright_test::last", mutates_args=())
def last(x: torch.Tensor) -> torch.Tensor:
    return x[..., -1].clone()


@torch.library.custom_op("layerwright_test::scale_", mutates_args=())
def scale_(x: torch.Tensor) -> torch.Tensor:
    return x.mul_(2.0).clone()


@torch.library.custom_op("layerwright_test::scale_declared_", mutates_args=("x",))
def scale_declared_(x: torch.Tensor) -> torch.Tensor:
    return x.mul_(2.0).clone()


@torch.library.custom_op("layerwright_test::no_fake", mutates_args=())
def no_fake(x: torch.Tensor) -> torch.Tensor:
    return x * 2


for operator in (last, scale_, scale_declared_):
    operator.register_fake(torch.empty_like)


class Applies(nn.Module):
    def __init__(self, operator):
        super().__init__()
        self.operator = operator

    def forward(self, x):
        return self.operator(x * 1.0)


def result(operator):
    """Return what the rule comes to on a layer that applies an operator."""
    layer = nn.Sequential(Applies(operator))
    (found,) = check(layer, torch.randn(4, 3), select=["CMP009"], tier="full").results
    assert found.outcome != "error", found.reason
    return found


def test_operators_that_declare_something_else_are_found():
    """A fake kernel with another shape, an argument that is changed, no fake kernel at all."""
    found = result(last).findings[0]
    assert found.severity == "error"
    assert found.where == "operator layerwright_test::last"
    assert found.file == __file__
    assert "mutated" in result(scale_).findings[0].found
    assert result(no_fake).findings[0].severity == "warning"


def test_operators_that_hold_what_they_declare_pass():
    """A declared mutation, and torch's own operators."""
    assert result(scale_declared_).outcome == "passed"
    assert result(torch.relu).outcome == "passed"
