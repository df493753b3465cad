"""INI006: parameters that start where no gradient comes."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def judged(layer, *inputs):
    """Return the result of INI006."""
    (result,) = check(layer, *inputs, select=["INI006"]).results
    return result


class LoRA(nn.Module):
    def __init__(self, *, dead):
        super().__init__()
        self.base = nn.Linear(3, 3)
        self.down, self.up = nn.Linear(3, 2, bias=False), nn.Linear(2, 3, bias=False)
        nn.init.zeros_(self.up.weight)
        if dead:
            nn.init.zeros_(self.down.weight)

    def forward(self, x):
        return self.base(x) + self.up(self.down(x))


def closed_relu():
    layer = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    nn.init.constant_(layer[0].bias, -100.0)
    return layer


def saturated_gate():
    layer = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 2))
    nn.init.constant_(layer[0].bias, -1000.0)
    return layer


@pytest.mark.parametrize(
    ("layer", "where"),
    [
        (LoRA(dead=True), {"down.weight", "up.weight"}),
        (closed_relu(), {"0.weight", "0.bias", "2.weight"}),
        (saturated_gate(), {"0.weight", "0.bias", "2.weight"}),
        (nn.Sequential(nn.Linear(3, 3), LoRA(dead=True)), {"1.down.weight", "1.up.weight"}),
    ],
)
def test_a_dead_start_is_a_warning(layer, where):
    """All dead parameters are named."""
    findings = judged(layer, torch.randn(4, 3)).findings
    assert {item.where for item in findings} == where
    assert findings[0].severity == "warning"
    assert "exactly zero in 5 steps" in findings[0].found


class ReZero(nn.Module):
    def __init__(self):
        super().__init__()
        self.branch = nn.Linear(3, 3)
        self.alpha = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x + self.alpha * self.branch(x)


class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.router = nn.Linear(3, 4)
        self.experts = nn.ModuleList(nn.Linear(3, 3) for _ in range(4))
        nn.init.constant_(self.router.bias, 0.0)
        with torch.no_grad():
            self.router.bias[3] = -1e3

    def forward(self, x):
        weights, chosen = self.router(x).softmax(-1).max(-1)
        every = torch.stack([expert(x) for expert in self.experts], 1)
        picked = every.gather(1, chosen[:, None, None].expand(-1, 1, 3))[:, 0]
        return picked * weights[:, None]


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(3, 3)
        self.extra = nn.Parameter(torch.zeros(3))

    def forward(self, x):
        return self.proj(x) + 0.0 * self.extra


@pytest.mark.parametrize(
    "layer",
    [
        LoRA(dead=False),
        ReZero(),
        Experts(),
        Unused(),
        nn.LSTM(3, 3),
        nn.BatchNorm1d(3),
        nn.LazyLinear(2),
    ],
)
def test_sound_layers_pass(layer):
    """Zero starts that training leaves, experts that no sample chose, factors of zero."""
    assert judged(layer, torch.randn(4, 3)).outcome == "passed"


class Prompted(nn.Module):
    """A prompt of no words."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)
        self.prompt = nn.Parameter(torch.empty(0, 3))

    def forward(self, x):
        return torch.cat([self.fc(x), self.prompt])


def test_a_parameter_without_values_is_no_crash():
    """There is nothing that could start dead."""
    assert judged(Prompted(), torch.randn(4, 6)).outcome == "passed"
