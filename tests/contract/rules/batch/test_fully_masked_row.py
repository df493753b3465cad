"""BAT007: a sample without any position."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


class Layer(nn.Module):
    """A layer with these parts, whose forward is `run(self, *inputs)`."""

    def __init__(self, run, **parts):
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs):
        return self.run(self, *inputs)


VALID = torch.arange(5) < torch.tensor([[5], [3], [2]])


def result(layer, *inputs):
    return check(layer, *inputs, select=["BAT007"]).results[0]


def attention(fill, dim=1, *, after=False):
    def run(layer, x, valid):
        hidden = ~valid.bool().unsqueeze(dim)
        scores = layer.query(x) @ x.transpose(1, 2)
        if after:
            return torch.softmax(scores, -1).masked_fill(hidden, 0.0) @ x
        return torch.softmax(scores.masked_fill(hidden, fill), -1) @ x

    return Layer(run, query=nn.Linear(6, 6))


def mean(least):
    def run(_, x, valid):
        count = valid.sum(1, keepdim=True).clamp(min=least)
        return (x * valid.unsqueeze(-1)).sum(1) / count

    return Layer(run)


@pytest.mark.parametrize("layer", [attention(-torch.inf), mean(0)])
def test_nan_for_an_empty_sample_is_a_warning(layer):
    """It names the sample."""
    judged = result(layer, torch.randn(3, 5, 6), VALID)
    assert judged.findings[0].severity == "warning"
    assert "samples [0]" in judged.findings[0].found


def test_nan_that_reaches_other_samples_is_an_error():
    """Here through a statistic of the whole batch."""

    def run(layer, x, valid):
        pooled = layer.part(x, valid)
        return pooled - pooled.mean()

    judged = result(Layer(run, part=mean(0)), torch.randn(3, 5, 6), VALID)
    assert judged.outcome != "failed" or judged.findings[0].severity == "error"


@pytest.mark.parametrize("layer", [attention(torch.finfo(torch.float32).min), mean(1)])
def test_finite_answers_pass(layer):
    """Uniform weights, or zeros."""
    assert result(layer, torch.randn(3, 5, 6), VALID).outcome == "passed"
