"""INI005: reset_parameters that forgets."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def judged(layer, *inputs):
    """Return the result of INI005."""
    (result,) = check(layer, *inputs, select=["INI005"]).results
    return result


class Forgets(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3))
        self.temperature = nn.Parameter(torch.ones(1))

    def reset_parameters(self):
        nn.init.normal_(self.weight)

    def forward(self, x):
        return (x @ self.weight.t()) * self.temperature


class Partial(Forgets):
    def reset_parameters(self):
        with torch.no_grad():
            self.weight[:2].normal_()
            self.temperature.fill_(1.0)


class GainedLinear(nn.Linear):
    def __init__(self):
        super().__init__(3, 3)
        self.gain = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return super().forward(x) * self.gain


@pytest.mark.parametrize(
    ("layer", "where", "count"),
    [
        (Forgets(), "temperature", "1 of 1"),
        (Partial(), "weight", "6 of 12"),
        (nn.Sequential(GainedLinear()), "0.gain", "3 of 3"),
    ],
)
def test_a_forgotten_parameter_is_a_warning(layer, where, count):
    """Also one that a subclass adds."""
    (finding,) = judged(layer, torch.randn(5, 3)).findings
    assert (finding.severity, finding.where) == ("warning", where)
    assert count in finding.found


class NeedsArguments(Forgets):
    def reset_parameters(self, std):
        nn.init.normal_(self.weight, std=std)


class Frozen(Forgets):
    def __init__(self):
        super().__init__()
        self.temperature.requires_grad_(requires_grad=False)


@pytest.mark.parametrize(
    "layer",
    [
        NeedsArguments(),
        Frozen(),
        nn.Linear(3, 3),
        nn.LSTM(3, 3),
        nn.TransformerEncoderLayer(3, 1),
        nn.BatchNorm1d(3),
        nn.LazyLinear(2),
        nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)),
        nn.utils.spectral_norm(nn.Linear(3, 3)),
    ],
)
def test_sound_layers_pass(layer):
    """Frozen parameters, methods with arguments, torch's own layers and tools."""
    assert judged(layer, torch.randn(5, 3)).outcome == "passed"
