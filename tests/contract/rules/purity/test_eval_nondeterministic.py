"""PUR005 eval-nondeterministic."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from layerwright.contract.check import check


def result(layer, *inputs):
    """Return what the rule comes to."""
    (found,) = check(layer, *inputs, select=["PUR005"]).results
    assert found.outcome != "error", found.reason
    return found


class Layer(nn.Module):
    """A linear layer whose answer goes through a function."""

    def __init__(self, function):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.log_std = nn.Parameter(torch.zeros(6))
        self.function = function

    def forward(self, x):
        return self.function(self, self.linear(x))


def drop_path(_, x):
    """Stochastic depth by hand."""
    return x / 0.5 * torch.floor(torch.rand(x.shape[0], 1) + 0.5)


LEFT_ON = {
    "dropout": lambda _, x: F.dropout(x, 0.5),
    "dropout in place": lambda _, x: F.dropout(x, 0.5, inplace=True),
    "alpha dropout": lambda _, x: F.alpha_dropout(x, 0.5, training=True),
    "attention": lambda _, x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.4),
    "drop path": drop_path,
    "bernoulli of a constant": lambda _, x: x * torch.bernoulli(torch.full((4, 1), 0.5)),
    "masked fill": lambda _, x: x.masked_fill(torch.rand(x.shape) < 0.3, 0.0),
    "gaussian noise": lambda _, x: x + 0.1 * torch.randn_like(x),
    "jitter": lambda _, x: x * torch.empty_like(x).uniform_(0.9, 1.1),
    "gaussian dropout": lambda _, x: x * (1 + 0.2 * torch.randn(x.shape)),
    "branch": lambda _, x: x if torch.rand(1).item() < 0.5 else 2 * x,
    "numpy": lambda _, x: x if np.random.rand() < 0.5 else 2 * x,
    "random": lambda _, x: x if random.random() < 0.5 else 2 * x,
}
SAMPLES = {
    "gumbel": lambda _, x: F.gumbel_softmax(x),
    "variational": lambda m, x: x + m.log_std.exp() * torch.randn_like(x),
    "categorical": lambda _, x: torch.distributions.Categorical(logits=x).sample().float(),
    "masked autoencoder": lambda _, x: x[torch.rand(4).argsort()],
    "boltzmann": lambda _, x: torch.bernoulli(x.sigmoid()),
    "generator": lambda m, _: m.linear(torch.randn(4, 6)),
}
SOUND = {
    "dropout": lambda m, x: F.dropout(x, 0.5, m.training),
    "noise in training": lambda m, x: x + torch.randn_like(x) if m.training else x,
    "drawn and not used": lambda _, x: (torch.rand(3), x)[1],
    "seeded projection": lambda _, x: (
        x @ torch.randn(6, 2, generator=torch.Generator().manual_seed(1))
    ),
}


@pytest.mark.parametrize("name", LEFT_ON)
def test_a_regulariser_that_stays_on_is_an_error(name):
    """However it is drawn and applied."""
    found = result(Layer(LEFT_ON[name]), torch.randn(4, 6)).findings
    assert [item.severity for item in found] == ["error"]
    assert "values differ" in found[0].found


@pytest.mark.parametrize("name", SAMPLES)
def test_sampling_is_a_note(name):
    """The law of the draws comes from data or parameters, or nothing is regularised."""
    found = result(Layer(SAMPLES[name]), torch.randn(4, 6)).findings
    assert [item.severity for item in found] == ["note"]


@pytest.mark.parametrize("name", SOUND)
def test_layers_that_are_quiet_in_eval_pass(name):
    """What is drawn in training only, or does not reach the answer."""
    assert result(Layer(SOUND[name]), torch.randn(4, 6)).outcome == "passed"


def test_the_line_that_draws_is_named():
    """Also when torch draws further down."""
    found = result(Layer(LEFT_ON["dropout"]), torch.randn(4, 6)).findings[0]
    assert found.file == __file__
    assert "bernoulli_" in found.found


def test_torch_layers_pass():
    """Dropouts of torch are quiet in eval mode."""
    for layer in (nn.Dropout(), nn.RReLU(), nn.TransformerEncoderLayer(6, 2)):
        assert result(layer, torch.randn(4, 6)).outcome == "passed"
