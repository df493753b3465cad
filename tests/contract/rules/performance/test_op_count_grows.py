"""PRF002 op-count-grows."""

import linecache

import torch
from torch import nn

from layerwright.contract.check import check


def result(layer, *inputs):
    """Return what the rule comes to."""
    (found,) = check(layer, *inputs, select=["PRF002"]).results
    assert found.outcome != "error", found.reason
    return found


class PerSample(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        rows = []
        for sample in x:
            rows.append(self.linear(sample))  # noqa: PERF401 - as people write it
        return torch.stack(rows)


class PerSampleByIndex(PerSample):
    def forward(self, x):
        out = x.new_zeros(len(x), 3)
        for i in range(x.shape[0]):
            out[i] = x[i] @ self.linear.weight.t()
        return out


class OverTime(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(4, 4)

    def forward(self, x):
        hidden = x.new_zeros(len(x), 4)
        for step in x.unbind(1):
            hidden = self.cell(step, hidden)
        return hidden


class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(4, 3)
        self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

    def forward(self, x):
        chosen = self.gate(x).argmax(-1)
        out = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            rows = (chosen == number).nonzero()[:, 0]
            if len(rows):
                out[rows] = expert(x[rows])
        return out


def test_loops_over_samples_are_found_with_their_line():
    """The finding counts the operators for three batch sizes."""
    (found,) = result(PerSample(), torch.randn(3, 4)).findings
    assert found.severity == "warning"
    assert "for 2 samples" in found.found
    assert "self.linear(sample)" in linecache.getline(found.file, found.line)
    assert result(PerSampleByIndex(), torch.randn(3, 4)).outcome == "failed"


def test_other_loops_pass():
    """Over time, and over the experts that are chosen."""
    assert result(OverTime(), torch.randn(3, 5, 4)).outcome == "passed"
    assert result(Experts(), torch.randn(8, 4)).outcome == "passed"


def test_torch_layers_pass():
    """Convolution, recurrence, attention; without samples the rule skips."""
    assert result(nn.Conv2d(3, 4, 3), torch.randn(2, 3, 5, 5)).outcome == "passed"
    assert result(nn.LSTM(4, 4), torch.randn(5, 2, 4)).outcome == "passed"
    assert result(nn.TransformerEncoderLayer(4, 2), torch.randn(5, 3, 4)).outcome == "passed"
    assert result(nn.Softmax(0), torch.randn(5)).outcome == "skipped"
