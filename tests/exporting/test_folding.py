"""Batch norms are folded where that changes nothing but the roundings, and nowhere else."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from layerwright.exporting.folding import folded
from layerwright.exporting.program import captured
from layerwright.initialization.examples import ExampleInputs


def with_statistics(network):
    """Give every batch norm statistics and factors that are not those of the start."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
            module.running_mean.normal_()
            module.running_var.uniform_(0.2, 3.0)
            if module.affine:
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
    return network.double().eval()


class ByHand(nn.Module):
    """Calls the operators itself, as a custom layer does."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 2, 3, 3))
        self.register_buffer("mean", torch.randn(5))
        self.register_buffer("var", torch.rand(5) + 0.5)

    def forward(self, x):
        x = F.conv2d(x, self.weight, stride=2, padding=1)
        return F.batch_norm(x, self.mean, self.var, eps=0.1)


class TwoReaders(nn.Module):
    """The convolution's own output is needed too."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)

    def forward(self, x):
        x = self.conv(x)
        return self.norm(x) + x


class Computed(nn.Module):
    """The weight is no parameter, but what comes of one."""

    def __init__(self):
        super().__init__()
        self.raw, self.norm = nn.Parameter(torch.randn(3, 4)), nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(F.linear(x, self.raw.tanh()))


IMAGES = (4, 2, 9, 9)
CASES = {
    "2d": (nn.Sequential(nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6)), IMAGES, 1),
    "groups": (nn.Sequential(nn.Conv2d(2, 6, 3, groups=2), nn.BatchNorm2d(6)), IMAGES, 1),
    "no bias": (nn.Sequential(nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6)), IMAGES, 1),
    "not affine": (
        nn.Sequential(nn.Conv1d(2, 6, 3), nn.BatchNorm1d(6, affine=False)),
        (4, 2, 9),
        1,
    ),
    "3d": (nn.Sequential(nn.Conv3d(1, 2, 2), nn.BatchNorm3d(2)), (4, 1, 3, 3, 3), 1),
    "linear": (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, affine=False)), (5, 4), 1),
    "by hand": (ByHand(), IMAGES, 1),
    "two": (
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)),
        IMAGES,
        2,
    ),
    "another dim": (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(6)), (5, 6, 4), 0),
    "two readers": (TwoReaders(), IMAGES, 0),
    "computed weight": (Computed(), (5, 4), 0),
    "no statistics": (
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, track_running_stats=False)),
        IMAGES,
        0,
    ),
    "norm first": (nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3)), IMAGES, 0),
}


@pytest.mark.parametrize("name", CASES)
def test_answers_stay_the_same(name):
    """In float64, to the last digits; and as many were folded as could be."""
    network, shape, expected = CASES[name]
    network = with_statistics(network)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    inputs = torch.randn(shape, dtype=torch.float64)
    program = captured(network, ExampleInputs((inputs,)))
    module, count = folded(program)
    assert count == expected
    assert torch.allclose(module(inputs), network(inputs), rtol=1e-10, atol=1e-10)
    norms = [node for node in module.graph.nodes if "batch_norm" in str(node.target)]
    kinds = sum(isinstance(item, nn.modules.batchnorm._BatchNorm) for item in network.modules())
    assert len(norms) == max(kinds, 1) - expected
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_what_is_no_longer_read_is_dropped():
    """The file holds one weight and one bias."""
    network = with_statistics(nn.Sequential(nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6)))
    module, _ = folded(captured(network, ExampleInputs((torch.randn(IMAGES).double(),))))
    assert sorted(module.state_dict()) == ["folded_0_bias", "folded_0_weight"]
