"""Penalty: which parameters, how much, and that L2 is SGD's weight decay."""

import copy

import pytest
import torch
from torch import nn

from layerwright.errors import OptionError
from layerwright.layers.normalization.layer_norm import LayerNorm
from layerwright.layers.regularization.weight_standardization import standardize_weight
from layerwright.training.parameter_groups import parameter_groups
from layerwright.training.penalties import Penalty


def network():
    """One parameter of each role: embedding, weights, biases, gain."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(3, 4), LayerNorm(4), nn.Linear(4, 2)).double()


@pytest.mark.parametrize(
    ("role", "names"),
    [
        ("weight", ["2.weight"]),
        ("bias", ["1.bias", "2.bias"]),
        ("gain", ["1.weight"]),
        ("embedding", ["0.weight"]),
    ],
)
def test_each_role_has_its_strength(role, names):
    """Number by number: λ₁ times the absolute value and λ₂ / 2 times the square."""
    net = network()
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    parameters = dict(net.named_parameters())
    values = [value for name in names for value in parameters[name].flatten().tolist()]
    got = Penalty(net, l1={role: 0.3}, l2={role: 0.5})()
    wanted = 0.3 * sum(abs(value) for value in values) + 0.25 * sum(v * v for v in values)
    assert got.item() == pytest.approx(wanted)
    got.backward()
    touched = [name for name, p in parameters.items() if p.grad is not None]
    assert touched == names


def test_a_number_stands_for_the_weights():
    """As weight decay does."""
    net = network()
    assert torch.equal(Penalty(net, l1=0.1, l2=2)(), Penalty(net, l1={"weight": 0.1}, l2=2.0)())
    assert Penalty(net, l2=1.0)().item() == pytest.approx(net[2].weight.square().sum().item() / 2)


def test_l2_is_weight_decay_of_sgd():
    """Three steps with the penalty in the loss, or with SGD's weight decay: the same weights."""
    first = network()
    second = copy.deepcopy(first)
    index = torch.tensor([0, 2])
    penalty = Penalty(first, l2=0.1)
    optimizers = (
        torch.optim.SGD(first.parameters(), lr=0.1, momentum=0.9),
        torch.optim.SGD(parameter_groups(second, 0.1), lr=0.1, momentum=0.9),
    )
    for _ in range(3):
        for net, optimizer in zip((first, second), optimizers, strict=True):
            optimizer.zero_grad()
            loss = net(index).square().sum()
            (loss + penalty() if net is first else loss).backward()
            optimizer.step()
    for got, wanted in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(got, wanted)


def test_frozen_and_tied_parameters():
    """Frozen ones are left out, tied ones count once."""
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    assert Penalty(net, l1=1.0)().item() == pytest.approx(net[0].weight.abs().sum().item())
    net.requires_grad_(False)
    nothing = Penalty(net, l1=1.0)()
    assert nothing.item() == 0
    assert not nothing.requires_grad


def test_what_is_learned_is_penalised():
    """Of a parametrized weight the original, not the standardised one."""
    layer = standardize_weight(nn.Linear(4, 2))
    wanted = layer.parametrizations.weight.original.square().sum().item() / 2
    assert Penalty(layer, l2=1.0)().item() == pytest.approx(wanted)


def test_half_precision_is_summed_in_float32():
    """Ten thousand ones in bfloat16 sum to ten thousand."""
    layer = nn.Linear(100, 100, bias=False, dtype=torch.bfloat16)
    nn.init.ones_(layer.weight)
    total = Penalty(layer, l1=1.0)()
    total.backward()
    assert total.item() == 10_000
    assert layer.weight.grad.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("strength", "text"),
    [
        (-1.0, "Penalty expected l1 to be a number from 0, or numbers by role, received -1.0."),
        (float("nan"), "Penalty expected l1 to be a number from 0, or numbers by role, "),
        ({"weights": 1.0}, "weights"),
    ],
)
def test_impossible_strengths_are_refused(strength, text):
    """The message names the option; an unknown role is named."""
    with pytest.raises(OptionError) as caught:
        Penalty(nn.Linear(2, 2), l1=strength)
    assert text in str(caught.value)
