"""NET002: parts that nobody uses, told from parts that are used in another way."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from layerwright.contract.check import check

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """Has these parts; `run(self, x)` is its forward."""

    def __init__(self, run, **parts):
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.run(self, x)


class TrainingStep(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, x):
        return self.fc(x)

    def training_step(self, x, y):
        return self.criterion(self(x), y)


class Switch(nn.Module):
    def __init__(self, *, wide):
        super().__init__()
        self.narrow = nn.Linear(6, 6)
        self.wide = nn.Linear(6, 6)
        self.use_wide = wide

    def forward(self, x):
        return self.wide(x) if self.use_wide else self.narrow(x)


class Looked(nn.Module):
    """Finds its parts by name."""

    def __init__(self):
        super().__init__()
        self.left = nn.Linear(6, 6)
        self.right = nn.Linear(6, 6)
        self.side = "left"

    def forward(self, x):
        return getattr(self, self.side)(x)


def found(layer, *inputs):
    """Return the findings of this rule alone."""
    report = check(layer, *inputs, select=["NET002"])
    assert report.counts["error"] == 0, report.results
    return report.findings


@pytest.mark.parametrize(
    ("layer", "where"),
    [
        (Net(lambda s, x: s.fc(x), fc=nn.Linear(6, 6), drop=nn.Dropout()), "drop"),
        (Net(lambda s, x: s.fc(x), fc=nn.Linear(6, 6), norm=nn.LayerNorm(6)), "norm"),
        (
            Net(lambda s, x: s.fc(x), fc=nn.Linear(6, 6), head=nn.Sequential(nn.Linear(6, 2))),
            "head",
        ),
        (
            nn.Sequential(nn.ReLU(), Net(lambda s, x: s.fc(x), fc=nn.Linear(6, 6), act=nn.ReLU())),
            "1.act",
        ),
    ],
)
def test_a_part_that_nobody_uses_is_a_warning(layer, where):
    """With and without parameters, in groups and in nested modules."""
    (finding,) = found(layer, X)
    assert (finding.severity, finding.where) == ("warning", where)
    assert "never runs" in finding.found


def test_it_explains_the_unused_parameters():
    """Its weights are not reported as roots."""
    layer = Net(lambda s, x: s.fc(x), fc=nn.Linear(6, 6), norm=nn.LayerNorm(6))
    report = check(layer, X, select=["NET002", "TRN001"])
    assert {item.explained_by for item in report.findings if item.rule_id == "TRN001"} == {"NET002"}


@pytest.mark.parametrize(
    "layer",
    [
        TrainingStep(),
        Switch(wide=False),
        Looked(),
        Net(lambda s, x: F.linear(x, s.fc.weight), fc=nn.Linear(6, 6, bias=False)),
        Net(lambda s, x: F.dropout(s.fc(x), s.drop.p), fc=nn.Linear(6, 6), drop=nn.Dropout()),
        Net(lambda s, x: s.blocks[0](x), blocks=nn.ModuleList([nn.Linear(6, 6), nn.ReLU()])),
        Net(lambda s, x: s.fc(x), fc=nn.Linear(6, 6), skip=nn.Identity()),
        Net(lambda s, x: s.parts["a"](x), parts=nn.ModuleDict({"a": nn.Linear(6, 6)})),
        parametrizations.weight_norm(nn.Linear(6, 6)),
        nn.TransformerEncoderLayer(6, 2, 8),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_part_that_is_used_somehow_passes(layer):
    """By another method, a branch, its weights, its attributes, its name, or as a placeholder."""
    assert found(layer, X) == ()
