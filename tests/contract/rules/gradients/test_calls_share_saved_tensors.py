"""GRD012 calls-share-saved-tensors."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def found(layer, *inputs):
    """Return the findings of this rule."""
    report = check(layer, *inputs, select=["GRD012"])
    assert report.results[0].outcome != "error", report.results[0].reason
    return report.findings


def applied(function, *parameters):
    """Return a layer that applies a Function to its input and to parameters."""

    class Applied(nn.Module):
        def __init__(self):
            super().__init__()
            self.weights = nn.ParameterList(parameters)

        def forward(self, x):
            return function.apply(x, *self.weights)

    return Applied()


def function_of(forward, backward, name="Formula"):
    """Return a Function made of two functions."""
    members = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type(name, (torch.autograd.Function,), members)


def saving(forward):
    """Return a forward that saves all its arguments."""

    def saved(ctx, *args):
        ctx.save_for_backward(*args)
        return forward(*args)

    return saved


torch.manual_seed(0)
X = torch.randn(4, 6)
KEPT = {}


def keep(ctx, x):
    KEPT["x"] = x.detach()
    return x.sin()


def test_what_is_kept_in_one_place():
    """Belongs to the last call."""
    function = function_of(keep, lambda ctx, g: g * KEPT["x"].cos())
    (finding,) = found(applied(function), X)
    assert finding.severity == "error"
    assert "values differ" in finding.found


class Padded(nn.Module):
    def __init__(self, *, copies):
        super().__init__()
        self.linear = nn.Linear(8, 6)
        self.copies = copies
        self.register_buffer("padded", torch.zeros(4, 8), persistent=False)

    def forward(self, x):
        self.padded[:, 1:-1] = x.detach()
        return self.linear(self.padded.clone() if self.copies else self.padded)


def test_a_buffer_for_all_calls():
    """The second call writes what the first one saved."""
    (finding,) = found(Padded(copies=False), X)
    assert "inplace operation" in finding.found


@pytest.mark.parametrize(
    "layer",
    [
        applied(function_of(saving(torch.sin), lambda ctx, g: g * ctx.saved_tensors[0].cos())),
        Padded(copies=True),
        nn.BatchNorm1d(6),
        nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6)),
        nn.Sequential(nn.Linear(6, 6), nn.ReLU(inplace=True), nn.Dropout(0.5)),
    ],
    ids=["function", "copies", "batch_norm", "spectral_norm", "dropout"],
)
def test_layers_with_state_pass(layer):
    """State may change, saved tensors may not."""
    assert not found(layer, X)


class Cache(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.register_buffer("keys", torch.zeros(8, 4, 6), persistent=False)
        self.step = 0

    def forward(self, x):
        self.keys[self.step] = self.linear(x)
        self.step += 1
        keys = self.keys[: self.step]
        weights = torch.softmax((keys * x).sum(-1, keepdim=True), 0)
        return (weights * keys).sum(0)


def test_a_cache_is_no_fault():
    """Its answers depend on earlier calls; it is written on purpose."""
    assert not found(Cache(), X)
