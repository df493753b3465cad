"""BAT011: a maximum over the samples that was meant to be elementwise."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check

X = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))


def layer_of(function):
    """Return a layer that computes a function."""

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            return function(self.linear(x))

    return Layer()


def found(layer, x=X):
    """Return the findings of the rule."""
    return check(layer, x, select=["BAT011"]).findings


@pytest.mark.parametrize(
    "function", [lambda x: torch.max(x, 0), lambda x: torch.min(x, 0), lambda x: x.max(0)]
)
def test_a_pair_over_the_samples_is_an_error(function):
    """With the shapes before and after, and what to write instead."""
    (finding,) = found(layer_of(function))
    assert finding.severity == "error"
    assert "(4, 3)" in finding.found
    assert "(3,)" in finding.found
    assert "torch.relu" in finding.fix
    assert finding.file.endswith("test_max_over_samples.py")


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.clamp(x, min=0),
        lambda x: torch.maximum(x, torch.zeros_like(x)),
        lambda x: torch.max(x, torch.zeros(())),
        lambda x: torch.max(x, 1),
        lambda x: torch.max(x, 0).values,
        lambda x: torch.topk(x, 2, dim=1),
        lambda x: torch.sort(x, dim=1),
        lambda x: (x, x.argmax(1)),
    ],
)
def test_what_looks_like_it_passes(function):
    """Elementwise maxima, other dimensions, values alone."""
    assert found(layer_of(function)) == ()
