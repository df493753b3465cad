"""MOD006: what a call in another precision leaves behind."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check

X = torch.randn(6, 4)


def judge(layer, x=X):
    """Run the rule alone."""
    return check(layer, x, select=["MOD006"])


class Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.tables = {}

    def key(self, x):
        return x.shape[-1]

    def forward(self, x):
        if self.key(x) not in self.tables:
            self.tables[self.key(x)] = torch.sin(torch.arange(4, dtype=x.dtype))
        return x + self.tables[self.key(x)].to(self.dtype(x))

    def dtype(self, x):
        return x.dtype


class NotConverted(Table):
    def dtype(self, x):
        return self.tables[self.key(x)].dtype


class UnderAutocast(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.rows = None

    def forward(self, x):
        if self.rows is None:
            self.rows = self.linear(torch.eye(4, dtype=x.dtype)).detach().float()
        return x + self.rows[0]


class KeyedByDtype(Table):
    def key(self, x):
        return x.shape[-1], x.dtype


class BufferedTable(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("table", None, persistent=False)

    def forward(self, x):
        if self.table is None or self.table.dtype != x.dtype:
            self.table = torch.sin(torch.arange(4, dtype=torch.float32)).to(x.dtype)
        return x + self.table


class Projects(nn.Linear):
    def __init__(self):
        super().__init__(4, 3)

    def forward(self, x):
        self.weight.data = torch.renorm(self.weight.data, 2, 0, 0.5)
        return super().forward(x)


@pytest.mark.parametrize(
    ("layer", "where", "mode"),
    [
        (Table(), "tables[4]", "bfloat16"),
        (nn.Sequential(NotConverted()), "0.tables[4]", "bfloat16"),
        (UnderAutocast(), "rows", "autocast"),
    ],
)
def test_a_table_in_another_precision_is_reported(layer, where, mode):
    """With the call that made it and the answers after it."""
    (finding,) = judge(layer).findings
    assert (finding.severity, finding.where) == ("error", where)
    assert mode in finding.found


@pytest.mark.parametrize(
    "layer",
    [
        KeyedByDtype(),
        BufferedTable(),
        Projects(),
        nn.BatchNorm1d(4),
        nn.LSTM(4, 3),
        nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)),
    ],
)
def test_layers_that_come_back_pass(layer):
    """A buffer is rounded with the layer, which is what the conversion asks for."""
    assert judge(layer).counts == {"passed": 1}


def test_other_precisions_are_not_judged():
    """The rule compares answers in float32."""
    assert judge(nn.Linear(4, 3).double(), X.double()).counts == {"skipped": 1}
