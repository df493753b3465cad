"""PUR010 exception-corrupts-state."""

import torch
from torch import nn

from layerwright.contract.check import check


def result(layer, *inputs):
    """Return what the rule comes to."""
    (found,) = check(layer, *inputs, select=["PUR010"]).results
    assert found.outcome != "error", found.reason
    return found


class Wrapped(nn.Module):
    """A linear layer with something done before and after it."""

    safe = False

    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)

    def before(self):
        """Change something."""

    def after(self):
        """Put it back."""

    def forward(self, x):
        self.before()
        if not self.safe:
            y = self.norm(self.linear(x))
            self.after()
            return y
        try:
            return self.norm(self.linear(x))
        finally:
            self.after()


class MergedAdapter(Wrapped):
    def before(self):
        self.linear.weight.data += 1.0

    def after(self):
        self.linear.weight.data -= 1.0


class Frozen(Wrapped):
    def before(self):
        self.mode = self.norm.training
        self.norm.train(False)

    def after(self):
        self.norm.train(self.mode)


class NoGrad(Wrapped):
    def before(self):
        self.mode = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)

    def after(self):
        torch.set_default_dtype(self.mode)


class Busy(Wrapped):
    busy = False

    def before(self):
        if self.busy:
            raise RuntimeError("is busy")
        self.busy = True

    def after(self):
        self.busy = False


class Tolerant(nn.Module):
    def forward(self, *values, **more):
        return values[0].sum() * 0.0


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.calls = nn.Linear(3, 3), 0

    def forward(self, x):
        self.calls += 1
        return self.linear(x) * self.calls


def test_what_is_not_restored_is_found():
    """A weight, a flag, a switch of torch, a lock."""
    for layer, words in (
        (MergedAdapter(), "12 of 12 values differ"),
        (Frozen(), "norm.training stays False instead of True"),
        (NoGrad(), "default dtype stays torch.float64"),
        (Busy(), "is busy"),
    ):
        (found,) = result(layer, torch.randn(4, 3)).findings
        assert found.severity == "error"
        assert words in found.found
        assert found.file == __file__
    assert torch.get_default_dtype() is torch.float32


def test_what_is_restored_in_finally_passes():
    """The same layers with try and finally."""
    for cls in (MergedAdapter, Frozen, NoGrad, Busy):
        layer = cls()
        layer.safe = True
        assert result(layer, torch.randn(4, 3)).outcome == "passed", cls


def test_sound_layers_pass():
    """Norms, recurrent layers, embeddings; what depends on earlier calls anyway is skipped."""
    assert result(nn.BatchNorm1d(3), torch.randn(4, 3)).outcome == "passed"
    assert result(nn.LSTM(3, 3), torch.randn(4, 2, 3)).outcome == "passed"
    assert result(nn.Embedding(4, 3), torch.arange(4)).outcome in {"passed", "skipped"}
    assert result(Counter(), torch.randn(4, 3)).outcome == "skipped"
    assert result(nn.BatchNorm1d(3).eval(), torch.randn(0, 3)).outcome == "skipped"
    assert result(Tolerant(), torch.randn(4, 3)).outcome == "skipped"
