"""PRF001 memory-leak."""

import gc
from collections import deque

import torch
from torch import nn

from layerwright.contract.check import check

LOG = []


def result(layer, *inputs):
    """Return what the rule comes to."""
    (found,) = check(layer, *inputs, select=["PRF001"]).results
    assert found.outcome != "error", found.reason
    return found


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.y = x**2
        ctx.x = x
        return ctx.y

    @staticmethod
    def backward(ctx, grad):
        return 2 * ctx.x * grad


class SavedSquare(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x**2
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx, grad):
        return 2 * ctx.saved_tensors[0] * grad


class Layer(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.linear, self.function = nn.Linear(3, 3), function
        self.window, self.last = deque(maxlen=100), None

    def forward(self, x):
        return self.function(self, self.linear(x))


def hooked(_, y):
    """Hold a tensor in its own hook."""
    y.register_hook(lambda grad: grad * (y > 0))
    return y


def logged(_, y):
    """Hold tensors in a closure, which no attribute leads to."""
    logged.log.append(y)
    return 2 * y


logged.log = LOG


def windowed(layer, y):
    """Hold the last hundred."""
    layer.window.append(y.detach())
    layer.last = y
    return 2 * y


def carried(layer, y):
    """Carry a state with its graph, as truncated backpropagation does between two steps."""
    layer.last = y if layer.last is None else torch.cat([layer.last, y])
    return 2 * y


def test_cycles_and_logs_are_found():
    """An output on ctx, a hook that closes over its tensor, a list elsewhere."""
    found = result(Layer(lambda _, y: Square.apply(y)), torch.randn(2, 3)).findings[0]
    assert found.severity == "warning"
    assert "cycle of references" in found.found
    assert "tensors of each call" in found.found
    assert result(Layer(hooked), torch.randn(2, 3)).outcome == "failed"
    found = result(Layer(logged), torch.randn(2, 3)).findings[0]
    assert "a list elsewhere" in found.found
    LOG.clear()
    assert gc.isenabled()


def test_sound_layers_pass():
    """Saved outputs, windows, the last value, layers of torch."""
    for function in (lambda _, y: SavedSquare.apply(y), windowed, carried, lambda _, y: y):
        assert result(Layer(function), torch.randn(2, 3)).outcome == "passed"
    for layer in (nn.LSTM(3, 3), nn.BatchNorm1d(3), nn.Identity()):
        assert result(layer, torch.randn(4, 3)).outcome == "passed"
