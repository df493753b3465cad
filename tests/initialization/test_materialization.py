"""Networks that were built on the meta device become real ones."""

import pytest
import torch
from torch import nn

import layerwright as lw
from layerwright.errors import OptionError
from layerwright.initialization.recipes import RECIPES


class Tied(nn.Module):
    """A table shared with the head, a recurrent layer, and a normalisation with statistics."""

    def __init__(self):
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(9, 8), nn.LSTM(8, 8, batch_first=True)
        self.norm, self.head = nn.BatchNorm1d(8), nn.Linear(8, 9, bias=False, dtype=torch.float32)
        self.head.weight = self.embedding.weight
        self.lstm.requires_grad_(requires_grad=False)

    def forward(self, tokens):
        return self.head(self.norm(self.lstm(self.embedding(tokens))[0][:, -1]))


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_values_are_those_of_a_network_built_in_memory(recipe):
    """Bit for bit under the same generator; ties, frozen flags and statistics too."""
    with torch.device("meta"):
        net = Tied()
    lw.initialize(net, recipe, device="cpu", generator=torch.Generator().manual_seed(3))
    twin = lw.initialize(Tied(), recipe, generator=torch.Generator().manual_seed(3))
    state = twin.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert net.head.weight is net.embedding.weight
    assert not net.lstm.weight_hh_l0.requires_grad
    assert net(torch.randint(9, (4, 5))).shape == (4, 9)


class Rotations(nn.Module):
    """A table that the constructor computes; its reset can, too, where there is one."""

    def __init__(self):
        super().__init__()
        self.project = nn.Linear(4, 4)
        self.register_buffer("angles", torch.arange(4.0))


class ResettableRotations(Rotations):
    def reset_parameters(self):
        self.angles.copy_(torch.arange(4.0))


def test_what_only_the_constructor_knows_is_refused():
    """And the network is on the meta device as before; a reset is all that it takes."""
    with torch.device("meta"):
        net, resettable = Rotations(), ResettableRotations()
    with pytest.raises(OptionError) as caught:
        lw.initialize(net, "xavier", device="cpu")
    assert str(caught.value) == (
        "angles expected values, and only the constructor knows them, which ran on the meta "
        "device. Fix: give the class a reset_parameters method that writes them, or build this "
        "part on the CPU."
    )
    assert all(tensor.is_meta for tensor in net.state_dict().values())
    lw.initialize(resettable, "xavier", device="cpu")
    assert resettable.angles.tolist() == [0, 1, 2, 3]


def test_what_has_values_keeps_its_device_and_lsuv_runs():
    """A part that was built in memory is initialised where it is."""
    net = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6, device="meta"))
    first = net[0].weight
    batch = torch.randn(16, 6)
    lw.initialize(net, "lsuv", device="cpu", inputs=batch)
    assert net[0].weight is first
    assert 0.9 < net(batch).var(correction=0) < 1.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"device": "meta"},
            "device expected one with memory, received 'meta'. Fix: device='cpu'.",
        ),
        (
            {"device": "cpu", "keep": ["weight"]},
            "keep expected tensors with values, received some on meta.",
        ),
        (
            {},
            (
                "weight expected values to replace, received a parameter on the meta device. "
                "Fix: pass device='cpu', or another device with memory."
            ),
        ),
    ],
)
def test_wrong_usage_is_explained(options, message):
    """Each case in its own words."""
    with pytest.raises(OptionError) as caught:
        lw.initialize(nn.Linear(3, 3, device="meta"), **options)
    assert str(caught.value) == message
