"""TRN003: parameters of which only a choice reaches the output."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check

X = torch.randn(8, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _same_layers():
    """Draw the same layers each time: some that roll by a sum roll by whole turns."""
    torch.manual_seed(0)


class Scored(nn.Module):
    """Makes something of a score of its input."""

    def __init__(self, function, outputs=6):
        super().__init__()
        self.score = nn.Linear(6, outputs)
        self.head = nn.Linear(6, 4)
        self.function = function

    def forward(self, x):
        return self.function(self, x, self.score(x))


class Codebook(nn.Module):
    """Moves its codes towards what it sees, in training mode."""

    def __init__(self):
        super().__init__()
        self.codes = nn.Parameter(torch.randn(4, 6))

    def forward(self, x):
        nearest = torch.cdist(x, self.codes).argmin(-1)
        quantized = self.codes[nearest].detach()
        if self.training:
            with torch.no_grad():
                self.codes[nearest] += 0.1 * (x - self.codes[nearest])
        return x + (quantized - x).detach()


class Balanced(nn.Module):
    """Keeps a loss that trains the router."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(6, 3)
        self.experts = nn.Parameter(torch.randn(3, 6))
        self.loss = None

    def forward(self, x):
        weights = self.router(x).softmax(-1)
        self.loss = weights.mean(0).square().sum()
        return x * self.experts[weights.argmax(-1)]


def found(layer):
    """Return the findings of this rule alone."""
    report = check(layer, X, select=["TRN003"])
    assert report.counts["error"] == 0, report.results
    return report.findings


@pytest.mark.parametrize(
    "function",
    [
        lambda layer, x, score: layer.head(x * (score > 0)),
        lambda layer, x, score: layer.head(x) * (1 + score.argmax(-1, keepdim=True)),
        lambda layer, x, score: layer.head(x.gather(1, score.topk(6).indices)),
        lambda layer, x, score: layer.head(torch.where(score.ge(0.0), x, -x)),
        lambda layer, x, score: layer.head(x).roll(int(3 * score.abs().sum()), 1),
    ],
)
def test_a_choice_alone_is_reported(function):
    """Both parameters of the score, with the line that chooses."""
    findings = found(Scored(function))
    assert {item.where for item in findings} == {"score.weight", "score.bias"}
    assert {item.severity for item in findings} == {"warning"}
    assert {item.file for item in findings} == {__file__}


@pytest.mark.parametrize(
    "layer",
    [
        Scored(lambda layer, x, score: layer.head(x * score.sigmoid())),
        Scored(lambda layer, x, score: layer.head(x * ((score > 0) * score))),
        Scored(lambda layer, x, score: (layer.head(x * (score > 0)), score.logsumexp(-1))),
        Scored(
            lambda layer, x, score: layer.head(x * (score > 0).float() + score - score.detach())
        ),
        Scored(lambda layer, x, score: layer.head(x * (score.detach() > 0))),
        Codebook(),
        Balanced(),
        nn.Linear(6, 3),
    ],
)
def test_what_a_gradient_reaches_passes(layer):
    """Through the score, straight through, by a second output, or by a loss that is kept."""
    assert found(layer) == ()


def test_a_score_that_is_frozen_passes():
    """It says that it is not to be trained."""
    layer = Scored(lambda layer, x, score: layer.head(x * (score > 0)))
    layer.score.requires_grad_(requires_grad=False)
    assert found(layer) == ()
