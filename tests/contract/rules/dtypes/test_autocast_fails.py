"""Layers that raise under autocast."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return torch.mm(x, weight)

    @staticmethod
    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        return grad_output.mm(weight.t()), x.t().mm(grad_output)


class Custom(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4))

    def forward(self, x):
        return Product.apply(x, self.weight)


class Experts(nn.Module):
    def __init__(self, *, cast=False):
        super().__init__()
        self.cast = cast
        self.expert = nn.Linear(4, 4)

    def forward(self, x):
        out = torch.zeros_like(x)
        values = self.expert(x)
        rows = torch.arange(len(x), device=x.device)
        return out.index_put((rows,), values.to(out.dtype) if self.cast else values)


def test_a_function_without_custom_fwd_is_an_error():
    """Its backward runs outside of autocast and multiplies two dtypes."""
    (finding,) = check(Custom(), torch.randn(3, 4), select=["DTY005"]).findings
    assert finding.severity == "error"
    assert finding.where == "backward"


def test_a_write_into_another_dtype_is_a_warning():
    """With its line."""
    (finding,) = check(Experts(), torch.randn(3, 4), select=["DTY005"]).findings
    assert finding.severity == "warning"
    assert finding.where == "forward"
    assert finding.file == __file__


class Sound(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu")
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return torch.mm(x, weight)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        return grad_output.mm(weight.t()), x.t().mm(grad_output)


class SoundCustom(Custom):
    def forward(self, x):
        return Sound.apply(x, self.weight)


@pytest.mark.parametrize(
    "layer",
    [SoundCustom(), Experts(cast=True), nn.LSTM(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)],
    ids=["function", "experts", "lstm", "batch-norm", "linear"],
)
def test_sound_layers_pass(layer):
    """Decorated Functions, explicit casts, torch's own layers."""
    assert check(layer, torch.randn(3, 4), select=["DTY005"]).counts["passed"] == 1
