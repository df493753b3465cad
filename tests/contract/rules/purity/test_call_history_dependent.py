"""PUR004 call-history-dependent."""

from collections import deque

import pytest
import torch
from torch import nn

from layerwright.contract.case import Case
from layerwright.contract.check import check


def result(layer, *inputs):
    """Return what the rule comes to."""
    (found,) = check(layer, *inputs, select=["PUR004"]).results
    assert found.outcome != "error", found.reason
    return found


class KeptMask(nn.Module):
    def __init__(self):
        super().__init__()
        self.cache = {}

    def forward(self, x):
        if x.shape not in self.cache:
            self.cache[x.shape] = x > 0
        return x * self.cache[x.shape]


class KeyedById(nn.Module):
    def __init__(self):
        super().__init__()
        self.known, self.answer = None, None

    def forward(self, x):
        if self.known is not x:
            self.known, self.answer = x, x.sum(1)
        return self.answer * 1.0


class Annealed(nn.Module):
    def __init__(self):
        super().__init__()
        self.steps = 0

    def forward(self, x):
        self.steps += 1
        return x / self.steps


class HiddenState(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 3)
        self.hidden = None

    def forward(self, x):
        self.hidden = self.cell(x, self.hidden)
        return self.hidden.clone()


class Nested(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.stem, self.inner = nn.Linear(3, 3, bias=False), inner

    def forward(self, x):
        return self.inner(self.stem(x))


class ResettableStream(HiddenState):
    def reset(self):
        self.hidden = None


class StreamInBuffer(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("past", torch.zeros(2, 3))
        self.position = 0

    def forward(self, x):
        out = x + self.past
        self.past.copy_(x)
        self.position += 1
        return out


class Frames:
    def __init__(self):
        self.last = deque(maxlen=2)

    def push(self, x):
        self.last.append(x)

    def clear(self):
        self.last = deque(maxlen=2)


class StreamInObject(nn.Module):
    def __init__(self):
        super().__init__()
        self.frames = Frames()

    def forward(self, x):
        self.frames.push(x)
        return torch.stack(list(self.frames.last)).mean(0)


class OwnGenerator(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x):
        return x + torch.randn(x.shape, generator=self.generator)


class SoundCaches(nn.Module):
    """Keyed rightly, or not part of the answer."""

    def __init__(self):
        super().__init__()
        self.tables, self.calls, self.last, self.memo = {}, 0, None, {}

    def forward(self, x):
        if x.shape[1] not in self.tables:
            self.tables[x.shape[1]] = torch.arange(x.shape[1], dtype=x.dtype)
        self.calls, self.last = self.calls + 1, x
        key = tuple(x.flatten().tolist())
        self.memo = {key: self.memo.get(key, x.sum(1, keepdim=True))}
        return x * self.tables[x.shape[1]] + self.memo[key]


@pytest.mark.parametrize(
    ("layer", "where"),
    [
        (KeptMask(), "cache"),
        (Annealed(), "steps"),
        (HiddenState(), "hidden"),
        (Nested(KeptMask()), "inner.cache"),
        (Nested(Nested(Annealed())), "inner.inner.steps"),
    ],
)
def test_hidden_memory_is_found_and_named(layer, where):
    """A cache, a counter, a hidden state; at any depth."""
    found = result(layer, torch.randn(8, 3)).findings[0]
    assert found.severity == "error"
    assert found.where == where
    assert "differ" in found.found


def test_a_cache_keyed_by_the_tensor_object_is_found():
    """The loop that refills one input tensor gets old answers."""
    found = result(KeyedById(), torch.randn(2, 3)).findings[0]
    assert "new values" in found.expected


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (ResettableStream(), "reset"),
        (StreamInObject(), "clear"),
        (StreamInBuffer(), "registered: past"),
        (OwnGenerator(), "generator of its own"),
    ],
)
def test_memory_that_is_meant_is_skipped(layer, reason):
    """A registered buffer, a method that resets it, a generator."""
    found = result(layer, torch.randn(2, 3))
    assert found.outcome == "skipped"
    assert reason in found.reason


def test_sound_layers_pass():
    """Caches with the right keys, counters and taps that are not read, norms, recurrent layers."""
    for layer in (SoundCaches(), nn.BatchNorm1d(3), nn.LSTM(3, 3), nn.Dropout(), nn.Identity()):
        assert result(layer, torch.randn(2, 3)).outcome == "passed"
    assert result(nn.Embedding(5, 3), torch.arange(4)).outcome == "passed"
    assert result(nn.LazyLinear(2), torch.randn(2, 3)).outcome == "passed"


def test_a_declared_stream_is_excused():
    """The trait stateful says that it is on purpose."""
    case = Case(HiddenState(), (torch.randn(2, 3),), traits={"stateful": True})
    assert check(case, select=["PUR004"]).results[0].outcome == "skipped"
