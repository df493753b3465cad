"""REG013: a layer that cannot be built is a finding, not silence."""

import torch
from torch import nn

from layerwright.contract.check import check

X = torch.ones(2, 30)


class Groups(nn.Module):
    """Thirty channels in four groups."""

    def __init__(self, dim=30):
        super().__init__()
        self.norm = nn.GroupNorm(4, dim)

    def forward(self, x):
        return self.norm(x)


class Unprepared(nn.Module):
    """Never calls super().__init__()."""

    def __init__(self):
        self.linear = nn.Linear(30, 2)


def test_what_the_constructor_raised_is_an_error():
    """With its words and its line; the report is not ok."""
    report = check(Groups, X)
    (finding,) = report.findings
    assert (finding.rule_id, finding.severity) == ("REG013", "error")
    assert "num_channels (30) must be divisible by num_groups (4)" in finding.found
    assert finding.file == __file__
    assert "nn.GroupNorm(4, dim)" in finding.fix
    assert not report.ok


def test_layers_that_are_built_pass():
    """As an instance, a class or a function."""
    for layer in (Groups(32), lambda: Groups(32), nn.Tanh):
        assert check(layer, torch.ones(2, 32), select=["REG013"]).findings == ()


def test_a_missing_super_is_left_to_its_own_rule():
    """One root cause, REG006."""
    roots = {item.rule_id for item in check(Unprepared, X).findings if not item.explained_by}
    assert roots == {"REG006"}
