"""What rounding explains: enough for every honest float32, too little for a mistake."""

import copy

import pytest
import torch
from torch import nn

from layerwright.exporting.reference import references
from layerwright.exporting.rounding import RoundingNoise
from layerwright.exporting.trials import Trial
from layerwright.initialization.examples import ExampleInputs

NETWORKS = {
    "linear": lambda: (nn.Linear(512, 32), torch.randn(8, 512)),
    "positive sums": lambda: (nn.Linear(4096, 4), torch.rand(4, 4096)),
    "convolutions": lambda: (
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3)),
        torch.randn(4, 3, 12, 12),
    ),
    "attention": lambda: (
        nn.TransformerEncoderLayer(32, 4, 64, batch_first=True),
        torch.randn(4, 9, 32),
    ),
    "recurrent": lambda: (nn.GRU(8, 16, batch_first=True), torch.randn(4, 12, 8)),
    "cancellation": lambda: (Cancelling(), torch.randn(4, 64)),
}


class Cancelling(nn.Module):
    """Loses five digits by a difference of large numbers."""

    def forward(self, x):
        large = x + 1e5
        return large - 1e5


def backwards(network, inputs):
    """Return the network's answers when each sum is taken in another order: features reversed."""
    other = copy.deepcopy(network)
    for module in other.modules():
        if type(module) is nn.Linear:  # not the one whose weight attention uses itself
            module.weight.data = module.weight.data.flip(1)
            module.register_forward_pre_hook(lambda _, args: (args[0].flip(-1),))
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.flip(1)
            module.register_forward_pre_hook(lambda _, args: (args[0].flip(1),))
    with torch.no_grad():
        output = other(inputs)
    return output[0] if isinstance(output, tuple) else output


@pytest.mark.parametrize("name", NETWORKS)
def test_float32_in_another_order_is_explained(name):
    """The network in float32, and with its sums reversed, stays within what is allowed."""
    for seed in range(3):
        torch.manual_seed(seed)
        network, inputs = NETWORKS[name]()
        network.eval()
        known = references(network, [Trial("example", None, ExampleInputs((inputs,)))], seed)
        (answer,) = known.answers
        for output in (answer.own[0], backwards(network, inputs)):
            assert bool(((output.double() - answer.exact[0]).abs() <= answer.allowed[0]).all())


@pytest.mark.parametrize("name", ["linear", "convolutions", "attention"])
def test_a_weight_that_is_off_is_not_explained(name):
    """One thousandth more in a single layer's weights is more than is allowed."""
    network, inputs = NETWORKS[name]()
    network.eval()
    known = references(network, [Trial("example", None, ExampleInputs((inputs,)))])
    (answer,) = known.answers
    weight = [value for value in network.parameters() if value.dim() > 1][-1]
    with torch.no_grad():
        weight.mul_(1.001)
        gap = (network(inputs).double() - answer.exact[0]).abs()
    assert bool((gap > answer.allowed[0]).any())


def test_the_noise_is_that_of_the_dtype():
    """A sum of K products with u = 2^-24 is off by about u sqrt(K / 8) sum |a b|."""
    a, b = torch.randn(1, 800).double(), torch.randn(800, 2000).double()
    exact = a @ b
    with RoundingNoise(2.0**-24, seed=0):
        moved = a @ b
    expected = 2.0**-24 * 101**0.5 * (a.abs() @ b.abs())
    assert float(((moved - exact) / expected).std()) == pytest.approx(1.0, rel=0.1)


def test_nothing_but_results_is_moved():
    """Inputs, parameters and views of them keep their bits."""
    network = nn.Sequential(nn.Unflatten(1, (2, 3)), nn.Linear(3, 3), nn.Flatten()).double()
    inputs = torch.randn(4, 6).double()
    before = [inputs.clone(), *(value.clone() for value in network.parameters())]
    with torch.no_grad(), RoundingNoise(1e-3, seed=0):
        view = inputs.view(2, 12).t()
        network(inputs)
    assert torch.equal(view, inputs.view(2, 12).t())
    after = [inputs, *network.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_whole_numbers_that_rounding_decides_are_marked():
    """An argmax between equal values is not judged, one between different values is."""

    class Best(nn.Module):
        def forward(self, x):
            return (x * 3).argmax(1)

    inputs = torch.tensor([[1.0, 1.0, 0.0], [0.0, 5.0, 1.0]])
    known = references(Best(), [Trial("example", 2, ExampleInputs((inputs,)))])
    assert (known.answers[0].allowed[0] > 0).tolist() == [True, False]
