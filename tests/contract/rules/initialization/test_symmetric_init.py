"""INI002: units that stay equal."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def drawn(*shape):
    """Return the same values in every run; unlucky ones leave every ReLU dead."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def judged(layer, *inputs):
    """Return the result of INI002."""
    (result,) = check(layer, *inputs, select=["INI002"]).results
    return result


def constant(layer, value=0.1):
    """Set all weights of a layer to one value."""
    for item in layer.parameters():
        nn.init.constant_(item, value if item.dim() > 1 else 0.0)
    return layer


def mlp():
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Conv1d(3, 6, 3, padding=1)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.features(x).relu().mean(-1))


@pytest.mark.parametrize(
    ("layer", "x", "where"),
    [
        (constant(mlp()), drawn(4, 3), "0.weight"),
        (constant(Convolutional()), drawn(4, 3, 5), "features.weight"),
    ],
)
def test_equal_units_with_equal_gradients_are_a_warning(layer, x, where):
    """All units of a hidden layer are one."""
    findings = judged(layer, x).findings
    assert findings[0].where == where
    assert findings[0].severity == "warning"
    assert "they stay one unit" in findings[0].found


class LoRA(nn.Module):
    def __init__(self):
        super().__init__()
        self.base = nn.Linear(3, 3)
        self.down, self.up = nn.Linear(3, 2, bias=False), nn.Linear(2, 3, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        return self.base(x) + self.up(self.down(x))


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(1e-5 * torch.ones(3, 1))

    def forward(self, x):
        return x * self.gamma


def constant_hidden():
    layer = mlp()
    nn.init.constant_(layer[0].weight, 0.1)
    return layer


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (mlp(), drawn(4, 3)),
        (LoRA(), drawn(4, 3)),
        (Scale(), drawn(4, 3, 5)),
        (nn.LayerNorm([3, 5]), drawn(4, 3, 5)),
        (constant_hidden(), drawn(4, 3)),
        (constant(nn.Linear(3, 4)), drawn(4, 3)),
        (constant(nn.GRUCell(3, 4)), drawn(4, 3)),
        (nn.LazyLinear(4), drawn(4, 3)),
        (nn.Embedding.from_pretrained(torch.zeros(4, 3), freeze=False), torch.tensor([0, 1, 3])),
    ],
)
def test_sound_layers_pass(layer, x):
    """Zero branches, gains and last layers: their gradients differ."""
    assert judged(layer, x).outcome == "passed"
