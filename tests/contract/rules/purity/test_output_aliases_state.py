"""PUR003 output-aliases-state."""

import torch
from torch import nn

from layerwright.contract.check import check


def result(layer, *inputs):
    """Return what the rule comes to."""
    (found,) = check(layer, *inputs, select=["PUR003"]).results
    assert found.outcome != "error", found.reason
    return found


class Memo(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.known = {}

    def forward(self, x):
        key = tuple(x.flatten().tolist())
        if key not in self.known:
            self.known[key] = self.linear(x).detach()
        return self.known[key]


class Expert(nn.Module):
    def __init__(self):
        super().__init__()
        self.experts = nn.Parameter(torch.randn(3, 5))

    def forward(self, x):
        return x.sum(), self.experts[int(x.sum(0).argmax())]


class Positions(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(1, 9, 3))

    def forward(self, x):
        return self.table[:, : x.shape[1]]


class ClassToken(Positions):
    def forward(self, x):
        return self.table[:, :1].expand(x.shape[0], -1, -1)


class KeepsLast(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.last = None

    def forward(self, x):
        self.last = self.linear(x).softmax(-1)
        return self.last


class Stream(nn.Module):
    def __init__(self):
        super().__init__()
        self.state = torch.zeros(3)

    def forward(self, x):
        self.state = self.state + x.sum(0)
        return self.state


def test_kept_answers_are_found():
    """A result that is kept, and a row of a parameter."""
    found = result(Memo(), torch.randn(2, 3)).findings[0]
    assert found.severity == "warning"
    assert "an attribute of the layer" in found.found
    assert "6 of 6 values differ" in found.found
    found = result(Expert(), torch.randn(2, 3)).findings[0]
    assert found.where == "forward, output [1]"
    assert "memory of experts" in found.found


def test_a_table_is_only_noted():
    """It does not depend on the inputs' values."""
    assert [item.severity for item in result(Positions(), torch.randn(2, 4, 3)).findings] == [
        "note"
    ]
    assert result(ClassToken(), torch.randn(2, 4, 3)).outcome != "error"


def test_sound_layers_pass():
    """Views of inputs, and what is kept but not used."""
    for layer in (KeepsLast(), nn.Identity(), nn.Flatten(0), nn.Dropout(), nn.ReLU(inplace=True)):
        assert result(layer, torch.randn(2, 3)).outcome == "passed", layer
    assert result(nn.Embedding(5, 3), torch.arange(4)).outcome == "passed"
    assert result(Stream(), torch.randn(2, 3)).outcome == "skipped"


class KeyCache(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("keys", torch.zeros(4, 8, 3))

    def forward(self, x):
        self.keys[: x.shape[0], : x.shape[1]] = x
        return self.keys


def test_a_cache_that_is_handed_out_is_skipped():
    """Its calls write into the buffer, and the caller reads it at once."""
    found = result(KeyCache(), torch.randn(2, 4, 3))
    assert found.outcome == "skipped"
    assert "as a cache does" in found.reason
