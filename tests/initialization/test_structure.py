"""What a parameter is for the recipes: kinds of weights, and what looks like a normalisation."""

import pytest
import torch
from torch import nn

from layerwright.initialization.structure import is_normalization, kind_of, places


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (nn.Conv1d(2, 3, 4), "convolution"),
        (nn.Conv3d(2, 3, 4), "convolution"),
        (nn.ConvTranspose2d(2, 3, 4), "convolution"),
        (nn.Linear(2, 3), "linear"),
        (nn.Linear(2, 1), "linear"),
        (nn.Bilinear(2, 3, 4), "weight"),
        (nn.Embedding(2, 3), "embedding"),
        (nn.BatchNorm1d(3), "gain"),
    ],
)
def test_kinds_of_torchs_weights(layer, kind):
    """A convolution has three or more dims and a kernel size; a bilinear map has no kernel."""
    assert kind_of(layer, "weight", tuple(layer.weight.shape)) == kind


def test_kinds_in_layers_of_the_users_own():
    """Four dims are a convolution, three are one beside a kernel size only."""
    layer = nn.Module()
    assert kind_of(layer, "kernel", (4, 3, 5, 5)) == "convolution"
    assert kind_of(layer, "kernel", (4, 3, 5)) == "weight"
    layer.kernel_size = 5
    assert kind_of(layer, "kernel", (4, 3, 5)) == "convolution"
    assert kind_of(layer, "weight_hh_l0", (8, 2)) == "recurrent"


class Vectors(nn.Module):
    """Holds vectors of given lengths."""

    def __init__(self, *, statistics=False, **lengths):
        super().__init__()
        for name, length in lengths.items():
            setattr(self, name, nn.Parameter(torch.zeros(length)))
        if statistics:
            self.register_buffer("running_mean", torch.zeros(3))


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.LayerNorm([2, 3]), True),
        (nn.RMSNorm(3), True),
        (Vectors(weight=3, bias=3), True),
        (Vectors(gamma=3, beta=3), True),
        (Vectors(scale=3, shift=3), True),
        (Vectors(weight=3, statistics=True), True),
        (Vectors(weight=3), False),
        (Vectors(weight=3, bias=1), False),
        (Vectors(weight=3, bias=3, alpha=3), False),
        (nn.PReLU(3), False),
        (nn.Linear(3, 3), False),
    ],
)
def test_what_looks_like_a_normalisation(module, expected):
    """Running statistics, or nothing but a gain and a bias of one length."""
    assert is_normalization(module) is expected


def test_places_are_named_as_in_named_parameters():
    """One place each, in the same order, through nesting, lists and parametrisations."""
    tied = nn.Linear(3, 3)
    net = nn.Sequential(
        nn.Embedding(4, 3),
        nn.ModuleDict({"a": tied, "b": tied}),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 3, 1)),
        nn.ParameterList([torch.zeros(3)]),
    )
    net.append(nn.Linear(3, 4))
    net[4].weight = net[0].weight
    found = places(net)
    expected = list(net.named_parameters())
    assert [place.name for place in found] == [name for name, _ in expected]
    assert all(place.parameter is p for place, (_, p) in zip(found, expected, strict=True))
