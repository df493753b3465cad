"""SER005: graphs that outlive the call, and tensors that are kept as they should be."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check

X = torch.randn(2, 5, 4)


def judge(layer):
    """Run the rule alone."""
    return check(layer, X, select=["SER005"])


class Keeps(nn.Module):
    def __init__(self, change=lambda y: y):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.change = change
        self.kept = None

    def forward(self, x):
        y = self.linear(x)
        self.kept = self.change(y)
        return y


def in_a_dict(y):
    """Keep it in a container."""
    return {"last": [y]}


@pytest.mark.parametrize(
    ("layer", "where"),
    [
        (Keeps(), "kept"),
        (Keeps(in_a_dict), "kept['last'][0]"),
        (nn.Sequential(nn.ReLU(), Keeps()), "1.kept"),
    ],
)
def test_a_kept_activation_is_reported(layer, where):
    """With its shape, and what copy.deepcopy says."""
    (finding,) = judge(layer).findings
    assert (finding.severity, finding.where) == ("error", where)
    assert "(2, 5, 4)" in finding.found
    assert "copy.deepcopy" in finding.found


def test_an_auxiliary_loss_is_a_note():
    """Trainers read it right after the call."""
    (finding,) = judge(Keeps(torch.Tensor.mean)).findings
    assert finding.severity == "note"


@pytest.mark.parametrize(
    "layer",
    [
        Keeps(torch.Tensor.detach),
        Keeps(lambda y: tuple(y.shape)),
        nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)),
        nn.utils.spectral_norm(nn.Linear(4, 4)),
        nn.LSTM(4, 4),
        nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),
    ],
)
def test_what_has_no_graph_passes(layer):
    """Detached tensors, shapes, and weights that a hook or parametrization computes."""
    assert judge(layer).counts == {"passed": 1}


class RunningMean(nn.Module):
    def __init__(self, detached):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.detached = detached
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x):
        y = self.linear(x)
        if self.training:
            mean = y.mean((0, 1))
            self.mean = 0.9 * self.mean + 0.1 * (mean.detach() if self.detached else mean)
        return y - self.mean.detach()


def test_a_buffer_that_hangs_in_the_graph_is_reported():
    """Each step's graph would hang on the one before."""
    (finding,) = judge(RunningMean(detached=False)).findings
    assert (finding.severity, finding.where) == ("error", "mean")
    assert not judge(RunningMean(detached=True)).findings
