"""GRD008 parameter-cut."""

import pytest
import torch
import torch.utils.checkpoint
from torch import nn

from layerwright.contract.check import check


def found(layer, *inputs):
    """Return the findings of this rule."""
    report = check(layer, *inputs, select=["GRD008"])
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


def layer_of(forward, *, update=False):
    """Return a layer with a linear part and a gain, which `forward(layer, x)` uses."""

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 6)
            self.gain = nn.Parameter(torch.rand(6) + 0.5)

        def forward(self, x):
            if update and self.training:
                with torch.no_grad():
                    self.gain.mul_(0.9)
            return forward(self, x)

    return Layer()


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        (lambda self, x: self.linear(x) * self.gain.data, ".data"),
        (lambda self, x: self.linear(x) * torch.from_numpy(self.gain.detach().numpy()), "numpy"),
        (lambda self, x: self.linear(x) * self.gain.mean().item(), ".item()"),
        (lambda self, x: self.linear(x) * torch.tensor(self.gain.tolist()), ".tolist()"),
        (lambda self, x: self.linear(x) * nn.Parameter(self.gain.exp()), "new leaf"),
    ],
    ids=["data", "numpy", "item", "tolist", "parameter"],
)
def test_a_lost_parameter_is_named_with_its_cause(forward, words):
    """And with the line, where a call ends the graph."""
    (finding,) = found(layer_of(forward), X)
    assert finding.severity == "error"
    assert finding.where == "gain"
    assert words in finding.found
    assert finding.file.endswith("test_parameter_cut.py")


def test_a_function_that_returns_none_for_a_parameter():
    """The gradient that somebody forgot."""
    function = function_of(
        saving(lambda x, gain: x * gain), lambda ctx, g: (g * ctx.saved_tensors[1], None)
    )
    (finding,) = found(applied(function, nn.Parameter(torch.rand(6))), X)
    assert "returns None" in finding.found


@pytest.mark.parametrize(
    "layer",
    [
        layer_of(lambda self, x: self.linear(x) * (self.gain + self.gain.detach())),
        layer_of(lambda self, x: self.linear(x) * self.gain.data, update=True),
        layer_of(lambda self, x: self.linear(x) * self.gain * self.gain.norm().item() ** 0),
        layer_of(lambda self, x: self.linear(x)),
        layer_of(lambda self, x: self.linear(x) * (self.gain > 0)),
        layer_of(lambda self, x: self.linear(x) * (1 + 0 * self.gain)),
        nn.utils.parametrizations.weight_norm(nn.Linear(6, 6)),
        nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU()),
    ],
    ids=["half", "average", "logged", "unused", "step", "zero", "weight_norm", "sequential"],
)
def test_cuts_on_purpose_pass(layer):
    """Stop-gradients, moving averages, parameters without influence."""
    assert not found(layer, X)


def test_a_parameter_that_is_detached_and_says_that_it_is_trained_is_a_warning():
    """The line that cuts is named; a parameter that is frozen says what is meant."""
    layer = layer_of(lambda self, x: self.linear(x) * self.gain.detach())
    (finding,) = found(layer, X)
    assert finding.severity == "warning"
    assert "detach()" in finding.found
    assert finding.file.endswith("test_parameter_cut.py")
    assert "requires_grad_(False)" in finding.fix
    layer.gain.requires_grad_(False)
    assert not found(layer, X)


def test_a_reentrant_checkpoint_passes():
    """It works with backward() only."""

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 6)

        def forward(self, x):
            return torch.utils.checkpoint.checkpoint(self.linear, x, use_reentrant=True)

    assert not found(Layer(), X)


@pytest.mark.parametrize("detached", [False, True])
def test_the_rounding_of_a_gradient_is_no_slope(detached):
    """Along a weight that is normalised the slope is zero, and float32 says almost zero."""

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(6, 5))

        def forward(self, x):
            self.weight.data = self.weight.data.to(x.device)
            weight = self.weight / self.weight.norm(dim=0, keepdim=True)
            return 20 * x @ (weight.data if detached else weight)

    assert bool(found(Layer(), X)) == detached


class Decoder(nn.Module):
    """Runs without gradients as a whole."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        with torch.no_grad():
            return self.second(self.first(x).tanh())


def test_one_cut_is_one_finding():
    """Whatever number of parameters it leaves out."""
    (finding,) = check(Decoder(), torch.randn(4, 6), select=["GRD008"]).findings
    assert finding.severity == "warning"
    for name in ("first.weight", "first.bias", "second.weight", "second.bias"):
        assert name in finding.where
