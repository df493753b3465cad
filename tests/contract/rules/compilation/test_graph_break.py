"""CMP001 graph-break, and what compiling leaves behind."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def result(layer, *inputs):
    """Return what the rule comes to."""
    (found,) = check(layer, *inputs, select=["CMP001"], tier="full").results
    assert found.outcome != "error", found.reason
    return found


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        y = self.linear(x)
        if y.sum() > 0:
            y = y + 1
        return y


class PrintsInTraining(nn.Module):
    def forward(self, x):
        if self.training:
            print(x.sum().tolist())
        return x * 2


class UsersRecurrence(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4)

    def forward(self, x):
        return self.rnn(x)[0]


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x):
        return nn.functional.dropout(self.norm(self.linear(x)), training=self.training)


def test_breaks_are_found_with_their_line():
    """In eval mode inside a network, and in training mode only."""
    found = result(nn.Sequential(nn.Linear(3, 3), Branch()), torch.randn(4, 3)).findings[0]
    assert found.severity == "warning"
    assert "if y.sum() > 0:" in found.found
    assert found.file == __file__
    found = result(PrintsInTraining(), torch.randn(4, 3)).findings[0]
    assert found.where == "forward in training mode"


def test_torch_s_own_breaks_are_no_warning():
    """A note where a line of the user's calls it, nothing for a module of torch itself."""
    assert [item.severity for item in result(UsersRecurrence(), torch.randn(5, 2, 3)).findings] == [
        "note"
    ]
    assert result(nn.GRU(3, 4), torch.randn(5, 2, 3)).outcome == "skipped"


def test_one_graph_passes():
    """Statistics and dropout break nothing."""
    assert result(Plain(), torch.randn(4, 3)).outcome == "passed"


@pytest.mark.filterwarnings("ignore")  # dynamo's own, where the test compiles
def test_what_the_caller_compiled_stays_compiled():
    """A layer of the same class that is compiled already is not compiled again after a check."""
    count = 0

    def counting(graph, example_inputs):
        nonlocal count
        count += 1
        return graph.forward

    x = torch.randn(4, 3)
    for layer in (Plain().eval(), Branch().eval()):  # the second breaks the graph
        compiled = torch.compile(layer, backend=counting)
        compiled(x)
        before = count
        assert before > 0
        check(layer, x, select=["CMP"], tier="full")
        compiled(x)
        assert count == before
