"""NET005: what the output is, against what the loss does to it."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from layerwright.contract.check import check

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
CLASSES = torch.tensor([0, 2, 1, 0])
TAGS = torch.tensor([[1.0, 0.0, 1.0]] * 4)


def net(*last):
    """Return a classifier of three classes."""
    return nn.Sequential(nn.Linear(6, 3), *last)


def smoothed(output, target):
    """Return a cross-entropy of somebody's own."""
    return F.cross_entropy(output, target, label_smoothing=0.1)


def found(layer, loss, target):
    """Return the findings of this rule alone."""
    report = check(layer, X, loss=loss, target=target, select=["NET005"])
    assert report.counts["error"] == 0, report.results
    return report.findings


@pytest.mark.parametrize(
    ("layer", "loss", "target", "words"),
    [
        (net(nn.Softmax(dim=1)), nn.CrossEntropyLoss(), CLASSES, "applies a softmax itself"),
        (net(nn.Softmax(dim=1)), smoothed, CLASSES, "applies a softmax itself"),
        (net(), nn.NLLLoss(), CLASSES, "scores whose exponentials"),
        (net(nn.Softmax(dim=1)), nn.NLLLoss(), CLASSES, "probabilities whose exponentials"),
        (net(nn.Sigmoid()), nn.BCEWithLogitsLoss(), TAGS, "applies a sigmoid itself"),
        (net(nn.Softmax(dim=1)), nn.BCEWithLogitsLoss(), TAGS, "applies a sigmoid itself"),
    ],
)
def test_a_loss_that_takes_something_else_is_an_error(layer, loss, target, words):
    """Found by what loss and output do, not by their names."""
    (finding,) = found(layer, loss, target)
    assert finding.severity == "error"
    assert words in finding.found


def test_log_probabilities_in_cross_entropy_are_a_note():
    """The second log_softmax changes nothing."""
    (finding,) = found(net(nn.LogSoftmax(dim=1)), nn.CrossEntropyLoss(), CLASSES)
    assert finding.severity == "note"


@pytest.mark.parametrize(
    ("layer", "loss", "target"),
    [
        (net(), nn.CrossEntropyLoss(), CLASSES),
        (net(), nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5])), CLASSES),
        (net(nn.LogSoftmax(dim=1)), nn.NLLLoss(), CLASSES),
        (net(nn.Sigmoid()), nn.BCELoss(), TAGS),
        (net(), nn.BCEWithLogitsLoss(), TAGS),
        (net(), nn.MSELoss(), TAGS),
        (net(nn.Softmax(dim=1)), nn.MSELoss(), TAGS),
        (net(), nn.MultiMarginLoss(), CLASSES),
        (net(), lambda output, target: -(output * target).mean(), TAGS),
    ],
)
def test_a_loss_that_fits_passes(layer, loss, target):
    """Weights, margins, regressions and critics included."""
    assert found(layer, loss, target) == ()


def test_without_a_loss_it_is_skipped():
    """There is nothing to compare with."""
    report = check(net(nn.Softmax(dim=1)), X, select=["NET005"])
    assert report.results[0].reason == "no loss was given"
