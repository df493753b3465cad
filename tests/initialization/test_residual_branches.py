"""Residual branches that start at zero: found by what is computed, or named."""

import pytest
import torch
from torch import nn

import layerwright as lw
from layerwright.errors import OptionError
from layerwright.initialization.examples import example_inputs_of
from layerwright.initialization.residual_branches import zero_residual_branches


class Convolutional(nn.Module):
    """Post-activation, as in ResNet; with a gate in the branch where asked for."""

    def __init__(self, *, gated=False):
        super().__init__()
        self.one, self.two = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.first, self.last = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.gate = nn.Conv2d(4, 4, 1) if gated else None

    def forward(self, x):
        y = self.last(self.two(torch.relu(self.first(self.one(x)))))
        if self.gate is not None:
            y = y * self.gate(y.mean((2, 3), keepdim=True)).sigmoid()
        return torch.relu_(x + y)


class Parallel(nn.Module):
    """Two branches from one tensor, each a plain product, in a block of its own formula."""

    def __init__(self):
        super().__init__()
        self.left, self.right = (nn.Parameter(torch.randn(6, 6)) for _ in range(2))
        self.shift = nn.Parameter(torch.ones(6))

    def forward(self, x):
        y = torch.tanh(x)
        return x + (y @ self.left + self.shift) + nn.functional.dropout(y @ self.right, 0.1)


class NotResidual(nn.Module):
    """Sums of things of which none was computed from the other."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(6, 6), nn.Linear(6, 6)
        self.places = nn.Parameter(torch.ones(6))

    def forward(self, x):
        return self.one(x) + self.two(x) + self.places


ENCODER = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, norm_first=True)
NETWORKS = {
    "convolutional": (
        lambda: nn.Sequential(Convolutional(), Convolutional(gated=True)),
        (3, 4, 5, 5),
        {"0.last.weight", "0.last.bias", "1.last.weight", "1.last.bias"},
    ),
    "transformer": (
        lambda: nn.TransformerEncoder(ENCODER, 2, enable_nested_tensor=False),
        (2, 3, 6),
        {
            f"layers.{layer}.{name}.{tensor}"
            for layer in (0, 1)
            for name in ("self_attn.out_proj", "linear2")
            for tensor in ("weight", "bias")
        },
    ),
    "parallel": (Parallel, (4, 6), {"left", "right", "shift"}),
    "no residual": (NotResidual, (4, 6), set()),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_branches_are_found_and_wake_up(name):
    """Only their last parameters are zero, all other weights are not, and get their gradient."""
    build, shape, expected = NETWORKS[name]
    net, x = build(), torch.randn(*shape)
    for parameter in net.parameters():  # no zeros but those that are asked for
        nn.init.normal_(parameter)
    assert set(zero_residual_branches(net, example_inputs_of(x))) == expected
    assert {name for name, item in net.named_parameters() if not item.any()} == expected
    net.train()(x).square().sum().backward()
    assert all(net.get_parameter(name).grad.any() for name in expected)


def test_a_block_starts_as_the_identity():
    """With a recipe by name, and without touching statistics or modes."""
    x = torch.rand(3, 4, 5, 5)
    net = lw.initialize(Convolutional(), "kaiming", inputs=x, zero_branches=True)
    assert torch.equal(net(x), x)
    assert net.last.num_batches_tracked == 1


def test_a_weight_that_is_used_elsewhere_too_is_left():
    """Zeroing it would stop what the other use does."""

    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared = nn.Linear(6, 6)

        def forward(self, x):
            x = self.shared(x)
            return x + self.shared(x)

    net = lw.initialize(Shared(), inputs=torch.randn(4, 6), zero_branches=True)
    assert net.shared.weight.any()


def test_branches_can_be_named():
    """By patterns, which need no inputs; one that matches nothing is refused."""
    net = lw.initialize(Convolutional(), "xavier", zero_branches=["last.*"])
    assert not net.last.weight.any()
    assert net.first.weight.all()
    with pytest.raises(OptionError, match="zero_branches expected names of parameters, received"):
        lw.initialize(net, zero_branches=["lats.*"])
    with pytest.raises(OptionError, match="zero_branches=True expected inputs, received none"):
        lw.initialize(net, zero_branches=True)
