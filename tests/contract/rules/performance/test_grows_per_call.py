"""PRF004 grows-per-call."""

from collections import deque

import pytest
import torch
from torch import nn

from layerwright.contract.check import check

SEEN = []


def result(layer, *inputs):
    """Return what the rule comes to."""
    (found,) = check(layer, *inputs, select=["PRF004"]).results
    assert found.outcome != "error", found.reason
    return found


class Layer(nn.Module):
    """A linear layer that keeps something."""

    shared = []  # noqa: RUF012 - the fault

    def __init__(self, keep):
        super().__init__()
        self.linear, self.keep = nn.Linear(3, 3), keep
        self.seen, self.window, self.last = [], deque(maxlen=1000), None
        self.by_object, self.by_shape, self.history = {}, {}, torch.zeros(0, 3)

    def forward(self, x):
        y = self.linear(x)
        self.keep(self, x, y)
        return y


class Collector(Layer):
    def collected(self):
        seen, self.seen = self.seen, []
        return seen


def concatenate(layer, _, y):
    """Concatenate to a tensor."""
    layer.history = torch.cat([layer.history, y.detach()])


def trimmed(layer, _, y):
    """Keep the last ten."""
    layer.seen = [*layer.seen, y.detach()][-10:]


@pytest.mark.parametrize(
    ("keep", "where"),
    [
        (lambda m, _, y: m.seen.append(float(y.mean())), "seen"),
        (lambda m, x, y: m.by_object.update({id(x): y.detach()}) or SEEN.append(x), "by_object"),
        (concatenate, "history"),
        (lambda m, *_: m.shared.append(1), "Layer.shared"),
        (lambda m, *_: m.linear.register_forward_hook(print), "linear._forward_hooks"),
        (lambda m, _, y: m.seen.append(y) if m.training else None, "seen"),
        (lambda m, _, y: None if m.training else m.seen.append(y), "seen"),
    ],
)
def test_what_grows_is_found_and_named(keep, where):
    """Lists, dicts, tensors, classes and hooks, in either mode."""
    found = result(Layer(keep), torch.randn(2, 3)).findings
    assert where in [item.where for item in found]
    assert {item.severity for item in found} == {"warning"}
    assert Layer.shared == []


@pytest.mark.parametrize(
    "keep",
    [
        lambda m, _, y: m.window.append(y.detach()),
        lambda m, x, y: m.by_shape.setdefault(x.shape, y.detach()),
        lambda m, _, y: setattr(m, "last", y),
        trimmed,
    ],
)
def test_what_is_bounded_passes(keep):
    """Windows, caches by shape, the last value."""
    assert result(Layer(keep), torch.randn(2, 3)).outcome == "passed"


def test_a_collection_that_a_method_empties_is_skipped():
    """It is on purpose."""
    found = result(Collector(lambda m, _, y: m.seen.append(y.detach())), torch.randn(2, 3))
    assert found.outcome == "skipped"
    assert "collected empties it" in found.reason


def test_torch_layers_pass():
    """Norms, recurrent layers, spectral norm."""
    for layer in (nn.BatchNorm1d(3), nn.LSTM(3, 3), nn.utils.spectral_norm(nn.Linear(3, 3))):
        assert result(layer, torch.randn(4, 3)).outcome == "passed"


class Order(tuple):
    """Two numbers that have no length, as an irreducible representation."""

    __slots__ = ()

    def __len__(self):
        raise NotImplementedError


def test_a_tuple_without_a_length_is_read():
    """Neither a second instance nor this rule asks how long it is."""

    class Layer(nn.Module):
        def __init__(self, order):
            super().__init__()
            self.order, self.again = order, [order]
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            return self.linear(x)

    report = check(Layer(Order((1, 2))), torch.randn(4, 3), select=["PRF004", "REG004"])
    assert [item.outcome for item in report.results] == ["passed", "passed"]
