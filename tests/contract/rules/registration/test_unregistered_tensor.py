"""REG003: plain tensors that stay behind."""

import functools

import pytest
import torch
from torch import nn
from torch.nn.utils.prune import l1_unstructured

from layerwright.contract.check import check


def judged(layer, *inputs):
    """Return the result of REG003."""
    (result,) = check(layer, *inputs, select=["REG003"]).results
    return result


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.randn(6, 3)


class Positions(Base):
    def forward(self, x):
        return x + self.table[: x.shape[1]]


class Kernel(nn.Module):
    def __init__(self):
        super().__init__()
        self.filters = {"blur": torch.ones(3, 1, 3) / 3.0}

    def forward(self, x):
        return nn.functional.conv1d(x.transpose(1, 2), self.filters["blur"], groups=3)


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.mask = torch.ones(6, 6).tril().bool()
        self.proj = nn.Linear(3, 3)

    def forward(self, x):
        scores = self.proj(x) @ x.transpose(1, 2)
        return scores.masked_fill(~self.mask, 0.0)


class InPartial(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = functools.partial(nn.functional.linear, weight=torch.randn(2, 3))

    def forward(self, x):
        return self.project(x)


@pytest.mark.parametrize(
    ("layer", "where", "function"),
    [
        (Positions(), "table", "add"),
        (Kernel(), "filters['blur']", "conv1d"),
        (Masked(), "mask", "masked_fill"),
        (InPartial(), "project.keywords['weight']", "linear"),
        (nn.Sequential(nn.Linear(3, 3), Positions()), "1.table", "add"),
    ],
)
def test_a_plain_tensor_beside_what_moves_is_an_error(layer, where, function):
    """The finding names the tensor and the call that would raise."""
    (finding,) = judged(layer, torch.randn(2, 6, 3)).findings
    assert finding.severity == "error"
    assert finding.where == where
    assert function in finding.found
    assert "values differ" in finding.found
    assert "register_buffer" in finding.fix


class MovesItself(Base):
    def forward(self, x):
        return x + self.table[: x.shape[1]].to(x.device)


class MovesOnce(Base):
    def forward(self, x):
        self.table = self.table.to(x)
        return x + self.table


class IsIndexed(Base):
    def __init__(self):
        super().__init__()
        self.order = torch.tensor([2, 0, 1])

    def forward(self, x):
        return x[..., self.order]


class MovesWithTheLayer(Base):
    def _apply(self, fn, recurse=True):
        self.table = fn(self.table)
        return super()._apply(fn, recurse)

    def forward(self, x):
        return x + self.table


class Overwritten(Base):
    def forward(self, x):
        self.table = x.detach().mean(0)
        return x - self.table


class Number(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.tensor(0.5)

    def forward(self, x):
        return x * self.scale


class Rotary(nn.Module):
    def __init__(self):
        super().__init__()
        self.cache = {}

    def forward(self, x):
        key = (x.shape[1], x.device)
        if key not in self.cache:
            self.cache[key] = torch.arange(x.shape[1], device=x.device)[:, None]
        return x + self.cache[key]


class Buffer(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.randn(6, 3), persistent=False)

    def forward(self, x):
        return x + self.table


@pytest.mark.parametrize(
    "layer",
    [
        MovesItself(),
        MovesOnce(),
        IsIndexed(),
        MovesWithTheLayer(),
        Overwritten(),
        Number(),
        Buffer(),
        nn.LSTM(3, 3),
        nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)),
        nn.utils.spectral_norm(nn.Linear(3, 3)),
        l1_unstructured(nn.Linear(3, 3), "weight", 2),
    ],
)
def test_sound_layers_pass(layer):
    """Moved by themselves, allowed on the CPU, overwritten before use, or buffers."""
    assert judged(layer, torch.randn(2, 6, 3)).outcome == "passed"


def test_a_cache_by_device_passes_after_a_call():
    """Forward made the tensor, and makes another one on another device."""
    layer = Rotary()
    layer(torch.randn(2, 6, 3))
    assert judged(layer, torch.randn(2, 6, 3)).outcome == "passed"


class KeyCache(nn.Module):
    def __init__(self, source):
        super().__init__()
        self.source, self.keys = source, None

    def forward(self, x):
        self.keys = x if self.keys is None else torch.cat([self.keys, x], 1)
        return x + self.keys.mean(1, keepdim=True)


def test_a_cache_of_a_stream_passes_where_no_second_instance_can_be_built():
    """Each call replaces it."""
    layer = KeyCache(source=iter(()))
    layer(torch.randn(2, 6, 3))
    assert judged(layer, torch.randn(2, 6, 3)).outcome == "passed"


def test_the_users_tensor_is_put_back():
    """A closure is shared with the copy that is checked."""
    table = torch.ones(3)
    layer = nn.Identity()
    layer.scale = lambda x: x * table
    layer.forward = layer.scale
    judged(layer, torch.randn(2, 3))
    assert table.tolist() == [1.0, 1.0, 1.0]
