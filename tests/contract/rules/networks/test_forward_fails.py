"""NET001: the part, what it expected, what arrived, and what to write."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from layerwright.contract.check import check

IMAGE = torch.randn(4, 3, 32, 32)
X = torch.randn(4, 8)
STEPS = torch.randn(4, 5, 8)


class Layer(nn.Module):
    """A layer with these parts, whose forward is `run(self, *inputs)`."""

    def __init__(self, run, **parts):
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs):
        return self.run(self, *inputs)


class Rectifier(nn.Module):
    def forward(self, x):
        return torch.max(x, 0)


class NoReturn(nn.Module):
    def forward(self, x):
        x.relu()


class Counter(nn.Module):
    """Returns nothing on purpose: it counts."""

    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(()))

    def forward(self, x):
        self.total += x.shape[0]


def conv():
    """Return a convolution that keeps the size."""
    return nn.Conv2d(3, 64, 3, padding=1)


CASES = {
    "view": (
        Layer(
            lambda s, x: s.fc1(F.max_pool2d(s.conv(x), 4).view(-1, 64 * 7 * 7)),
            conv=conv(),
            fc1=nn.Linear(64 * 7 * 7, 128),
        ),
        (IMAGE,),
        "forward",
        "3136 features",
        "64 * 8 * 8",
        "self.fc1 = nn.Linear(64 * 8 * 8, 128)",
    ),
    "linear": (
        Layer(
            lambda s, x: s.fc1(F.max_pool2d(s.conv(x), 4).flatten(1)),
            conv=conv(),
            fc1=nn.Linear(64 * 7 * 7, 128),
        ),
        (IMAGE,),
        "fc1",
        "3136 features",
        "4096 features = 64 * 8 * 8, flattened for 32x32 images",
        "write self.fc1 = nn.Linear(64 * 8 * 8, 128)",
    ),
    "not flattened": (
        Layer(lambda s, x: s.fc(x), fc=nn.Linear(3 * 32 * 32, 5)),
        (IMAGE,),
        "fc",
        "3072 features",
        "shape (4, 3, 32, 32)",
        "x.flatten(1)",
    ),
    "channels": (
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(16, 8, 3)),
        (IMAGE,),
        "1",
        "16 channels",
        "8 channels",
        "nn.Conv2d(8, 8",
    ),
    "channels last": (
        conv(),
        (torch.randn(2, 16, 16, 3),),
        "forward",
        "3 channels",
        "16",
        "permute",
    ),
    "batch norm": (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm1d(4)),
        (IMAGE,),
        "1",
        "rank 2 or 3",
        "rank 4",
        "nn.BatchNorm2d(4)",
    ),
    "layer norm": (
        nn.Sequential(nn.Linear(8, 4), nn.LayerNorm(8)),
        (X,),
        "1",
        "(8,)",
        "(4, 4)",
        "nn.LayerNorm(4)",
    ),
    "kernel": (
        nn.Sequential(nn.MaxPool2d(8), nn.MaxPool2d(8)),
        (IMAGE,),
        "1",
        "at least 8 x 8",
        "4 x 4",
        "kernel_size=4",
    ),
    "embedding": (
        nn.Embedding(10, 4),
        (torch.tensor([[3, 19]]),),
        "forward",
        "[0, 9]",
        "[3, 19]",
        "nn.Embedding(20, 4)",
    ),
    "float indices": (nn.Embedding(10, 4), (X,), "forward", "int64", "float32", "x.long()"),
    "dtype": (nn.Linear(8, 4), (X.double(),), "forward", "float32", "float64", "x.float()"),
    "device": (nn.Linear(8, 4, device="meta"), (X,), "forward", "one device", "meta", "move"),
    "tuple of max": (
        nn.Sequential(nn.Linear(8, 8), Rectifier(), nn.Linear(8, 2)),
        (X,),
        "2",
        "a tensor",
        "the output of 1",
        "x.clamp(min=0)",
    ),
    "tuple of lstm": (
        Layer(lambda s, x: s.fc(s.lstm(x)), lstm=nn.LSTM(8, 6), fc=nn.Linear(6, 2)),
        (STEPS,),
        "fc",
        "a tensor",
        "the output of lstm",
        "x, _ = self.lstm(...)",
    ),
    "none": (
        nn.Sequential(NoReturn(), nn.Linear(8, 2)),
        (X,),
        "1",
        "a tensor",
        "the output of 0",
        "return the result from forward of 0",
    ),
    "arguments": (
        Layer(lambda s, x: s.mix(x), mix=nn.MultiheadAttention(8, 2)),
        (STEPS,),
        "mix",
        "the arguments",
        "'key' and 'value'",
        "arguments that its forward declares",
    ),
    "attribute": (
        Layer(lambda s, x: s.fc2(x), fc1=nn.Linear(8, 4)),
        (X,),
        "forward",
        "fc2",
        "there is fc1",
        "self.fc1",
    ),
    "matmul": (
        Layer(lambda s, x: x @ s.weight, weight=nn.Parameter(torch.randn(6, 4))),
        (X,),
        "forward",
        "6 features",
        "8 features",
        "8 features instead of 6",
    ),
    "residual": (
        Layer(lambda s, x: x + s.conv(x), conv=conv()),
        (IMAGE,),
        "forward",
        "one shape",
        "3 against 64 in dimension 1",
        "projection",
    ),
    "features first": (
        nn.Linear(5, 6),
        (STEPS,),
        "forward",
        "5 features",
        "(4, 5, 8)",
        "x.transpose(1, -1)",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_error_is_told_in_words(name):
    """Where, expected, found and fix hold the numbers."""
    layer, inputs, where, expected, found, fix = CASES[name]
    (finding,) = check(layer, *inputs, select=["NET001"]).findings
    assert finding.severity == "error"
    assert finding.where == where
    assert expected in finding.expected
    assert found in finding.found
    assert fix in finding.fix


def test_a_missing_return_is_an_error():
    """Nothing was computed for anybody."""
    (finding,) = check(NoReturn(), X, select=["NET001"]).findings
    assert "returned None" in finding.found


@pytest.mark.parametrize("layer", [nn.Linear(8, 3), Counter(), nn.Identity()])
def test_a_forward_that_works_passes(layer):
    """Returning nothing is fine for a layer that counts."""
    assert check(layer, X, select=["NET001"]).counts["passed"] == 1


def test_the_other_rules_are_not_blamed():
    """One finding says it all."""
    report = check(CASES["tuple of max"][0], X)
    assert [item.rule_id for item in report.findings if item.explained_by is None] == ["NET001"]
