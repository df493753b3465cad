"""The walk over what modules hold outside parameters, buffers and submodules."""

import functools
from collections import deque
from dataclasses import dataclass

import torch
from torch import nn

from layerwright.contract.evidence.attributes import held_outside


@dataclass
class Bank:
    scale: torch.Tensor


class Holder(nn.Module):
    shared = torch.ones(1)

    def __init__(self):
        super().__init__()
        factor = torch.ones(2)
        self.proj = nn.Linear(2, 2)
        self.register_buffer("mean", torch.zeros(2))
        self.plain = torch.zeros(3)
        self.blocks = [Bank(torch.ones(4)), {"a": deque([nn.ReLU()])}]
        self.act = lambda x: x * factor
        self.shift = functools.partial(torch.add, other=factor)
        self.cycle = [self]


def paths(layer, kind):
    """Return the names of held values of a kind, and how they are held."""
    return {held.name: held.via for held in held_outside(layer) if isinstance(held.value, kind)}


def test_tensors_are_found_wherever_they_lie():
    """With a path from the layer and the way that leads there."""
    assert paths(nn.Sequential(Holder()), torch.Tensor) == {
        "0.plain": "attribute",
        "0.blocks[0].scale": "object",
        "0.act.<factor>": "closure",
        "0.shift.keywords['other']": "partial",
        "0.shared": "class",
    }


def test_modules_are_yielded_and_not_entered():
    """A cycle ends at the module."""
    layer = Holder()
    assert paths(layer, nn.Module) == {"blocks[1]['a'][0]": "container", "cycle[0]": "container"}


def test_what_torch_registers_is_left_out():
    """A layer of torch holds numbers and flags only."""
    assert paths(nn.BatchNorm1d(3), torch.Tensor | nn.Module) == {}


def test_a_container_that_holds_itself_ends():
    """The walk does not follow a cycle of lists."""
    layer = nn.Identity()
    layer.loop = []
    layer.loop.append(layer.loop)
    assert [held.path for held in held_outside(layer)] == ["loop", "loop[0]"]
