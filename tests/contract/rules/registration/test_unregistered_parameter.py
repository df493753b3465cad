"""REG002: trained tensors that parameters() does not list."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def judged(layer, *inputs):
    """Return the result of REG002."""
    (result,) = check(layer, *inputs, select=["REG002"]).results
    return result


class Scale(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def forward(self, x):
        return x * self.weight


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.queries = {name: nn.Parameter(torch.randn(3)) for name in ("left", "right")}

    def forward(self, x):
        return sum(x * query for query in self.queries.values())


class Computed(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3)) * 0.1

    def forward(self, x):
        return x @ self.weight


class OnTheClass(nn.Module):
    gain = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x * self.gain


def test_parameters_in_a_dict_are_errors():
    """Each of them is named."""
    first, second = judged(Heads(), torch.randn(4, 3)).findings
    assert (first.where, second.where) == ("queries['left']", "queries['right']")
    assert first.severity == "error"
    assert "shape (3,)" in first.found
    assert "nn.ParameterDict" in first.fix


def test_a_scaled_parameter_is_no_parameter():
    """The product is a plain tensor; the parameter itself is gone."""
    (finding,) = judged(Computed(), torch.randn(4, 3)).findings
    assert finding.where == "weight"
    assert "was computed once from an nn.Parameter" in finding.found


@pytest.mark.parametrize(
    "layer",
    [
        Scale(torch.ones(3, requires_grad=True)),
        nn.Sequential(nn.Linear(3, 3), Scale(torch.ones(3, requires_grad=True))),
        OnTheClass(),
    ],
)
def test_a_tensor_that_requires_gradients_is_an_error(layer):
    """As an attribute, in a part of the layer, or on the class."""
    assert len(judged(layer, torch.randn(4, 3)).findings) == 1


class Unused(Scale):
    def forward(self, x):
        return x + 1.0


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(3, 3)
        self.shared = [self.encoder.weight]

    def forward(self, x):
        return self.encoder(x) @ self.shared[0]


@pytest.mark.parametrize(
    "layer",
    [
        Scale(nn.Parameter(torch.ones(3))),
        Scale(torch.ones(3)),
        Unused(torch.ones(3, requires_grad=True)),
        Tied(),
        nn.LSTM(3, 3, num_layers=2),
        nn.utils.spectral_norm(nn.Linear(3, 3)),
    ],
)
def test_sound_layers_pass(layer):
    """Registered, not trained, not used, tied, and what torch's own hooks compute."""
    assert judged(layer, torch.randn(4, 3)).outcome == "passed"


def test_a_closure_over_a_parameter_of_its_own_passes():
    """It is registered in the layer that was given."""
    layer = nn.Linear(3, 3)
    weight = layer.weight
    layer.project = lambda x: x @ weight
    layer.forward = layer.project
    assert judged(layer, torch.randn(4, 3)).outcome == "passed"


def test_what_a_layer_keeps_of_its_last_call_passes():
    """An auxiliary loss has a graph, and forward does not read it."""

    class Auxiliary(nn.Linear):
        def forward(self, x):
            y = super().forward(x)
            self.penalty = y.square().mean()
            return y

    layer = Auxiliary(3, 3)
    layer(torch.randn(4, 3))
    assert judged(layer, torch.randn(4, 3)).outcome == "passed"
