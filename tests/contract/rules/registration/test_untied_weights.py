"""REG005: two parameters in one memory."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def judged(layer, *inputs):
    """Return the result of REG005."""
    (result,) = check(layer, *inputs, select=["REG005"]).results
    return result


class Pair(nn.Module):
    def __init__(self, tie):
        super().__init__()
        self.encode, self.decode = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        tie(self)

    def forward(self, x):
        return self.decode(self.encode(x))


def by_data(layer):
    layer.decode.weight.data = layer.encode.weight.data


def transposed(layer):
    layer.decode.weight = nn.Parameter(layer.encode.weight.t())


def overlapping(layer):
    flat = torch.randn(12)
    layer.encode.weight = nn.Parameter(flat[:9].view(3, 3))
    layer.decode.weight = nn.Parameter(flat[3:].view(3, 3))


@pytest.mark.parametrize("tie", [by_data, transposed, overlapping])
def test_two_parameters_in_one_memory_are_an_error(tie):
    """A deep copy shows that the tie does not hold."""
    (finding,) = judged(Pair(tie), torch.randn(4, 3)).findings
    assert finding.severity == "error"
    assert finding.where == "decode.weight"
    assert "9 and 9 values in the same memory" in finding.found
    assert "in a copy.deepcopy they have memory of their own" in finding.found
    assert "decode.weight = encode.weight" in finding.fix


def tied(layer):
    layer.decode.weight = layer.encode.weight


def side_by_side(layer):
    flat = torch.randn(18)
    layer.encode.weight = nn.Parameter(flat[:9].view(3, 3))
    layer.decode.weight = nn.Parameter(flat[9:].view(3, 3))


def interleaved(layer):
    flat = torch.randn(3, 6)
    layer.encode.weight = nn.Parameter(flat[:, ::2])
    layer.decode.weight = nn.Parameter(flat[:, 1::2])


@pytest.mark.parametrize("tie", [tied, side_by_side, interleaved, lambda layer: None])
def test_sound_layers_pass(tie):
    """One parameter under two names, and neighbours in one block of memory."""
    assert judged(Pair(tie), torch.randn(4, 3)).outcome == "passed"


def test_lazy_and_recurrent_layers_pass():
    """Parameters without memory yet, and flattened ones."""
    assert judged(nn.LazyLinear(3), torch.randn(4, 3)).outcome == "passed"
    assert judged(nn.LSTM(3, 3, num_layers=2), torch.randn(4, 3)).outcome == "passed"
