"""A network's state: everything in it, copied out and put back."""

import pytest
import torch
from torch import nn

from layerwright.errors import CheckpointError
from layerwright.training import network_state


class Odd(nn.Module):
    """Tied weights, a buffer that state_dict leaves out, and extra state."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("hidden", torch.zeros(2), persistent=False)
        self.calls = 0

    def get_extra_state(self):
        return {"calls": self.calls}

    def set_extra_state(self, state):
        self.calls = state["calls"]


def test_everything_comes_back_in_place():
    """Parameters, hidden buffers and extra state return; parameters stay the same objects."""
    network = Odd()
    network.calls = 5
    network.hidden.fill_(4.0)
    before = network.first.weight
    expected = before.detach().clone()
    state = network_state.capture(network)
    with torch.no_grad():
        network.first.weight.zero_()
        network.hidden.zero_()
    network.calls = 0
    network_state.restore(network, state)
    assert network.first.weight is before
    assert network.second.weight is before
    assert torch.equal(network.first.weight, expected)
    assert torch.equal(network.hidden, torch.full((2,), 4.0))
    assert network.calls == 5


def test_a_copy_is_not_touched_by_training():
    """What was captured does not change when the network does."""
    network = nn.Linear(2, 2)
    state = network_state.capture(network)
    expected = state["weight"].clone()
    with torch.no_grad():
        network.weight.add_(1)
    assert torch.equal(state["weight"], expected)


def test_tied_tensors_are_copied_once():
    """Tied names share their copy, so that a checkpoint holds it once."""
    state = network_state.capture(Odd())
    assert state["first.weight"] is state["second.weight"]
    assert state["first.bias"] is not state["second.bias"]


def test_another_network_is_refused_by_name():
    """Names that do not agree are listed."""
    state = network_state.capture(nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(CheckpointError) as caught:
        network_state.restore(nn.Linear(2, 2), state)
    assert str(caught.value) == (
        "the saved state does not fit Linear: missing ['weight', 'bias'], "
        "unexpected ['0.weight', '0.bias']. "
        "Fix: use the same network, with the same options, as the run did."
    )


def test_another_size_is_refused_by_shape():
    """Shapes that do not agree are shown."""
    state = network_state.capture(nn.Linear(2, 3))
    with pytest.raises(CheckpointError) as caught:
        network_state.restore(nn.Linear(2, 4), state)
    assert str(caught.value) == (
        "the saved state does not fit Linear: weight expected shape (4, 2), received (3, 2). "
        "Fix: use the same network, with the same options, as the run did."
    )


def test_non_finite_values_are_named():
    """NaN and infinity are found in parameters and buffers, integers are passed over."""
    network = nn.BatchNorm1d(3)
    assert network_state.non_finite_names(network) == []
    network.running_var[1] = float("inf")
    assert network_state.non_finite_names(network) == ["running_var"]
