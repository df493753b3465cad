"""CMP006 not-vmappable."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from layerwright.contract.check import check


def result(layer, *inputs):
    """Return what the rule comes to."""
    inputs = inputs or (torch.randn(4, 3, generator=torch.Generator().manual_seed(0)),)
    (found,) = check(layer.eval(), *inputs, select=["CMP006"], tier="full").results
    assert found.outcome != "error", found.reason
    return found


class Applies(nn.Module):
    """A linear layer and a Function."""

    def __init__(self, function):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.function = function

    def forward(self, x):
        return self.function.apply(self.linear(x))


class Cube(torch.autograd.Function):
    """A rule that torch generates."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        del output
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        return 3 * ctx.saved_tensors[0] ** 2 * grad


class OwnRule(Cube):
    """A rule of its own, that is right: all is done value by value."""

    generate_vmap_rule = False

    @staticmethod
    def vmap(info, in_dims, x):
        del info
        return OwnRule.apply(x), in_dims[0]


class Signs(torch.autograd.Function):
    """Signs scaled by the mean of their sample: with one dimension more, 1 is another one."""

    @staticmethod
    def forward(x):
        return x.sign() * x.abs().mean(1, keepdim=True)

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad):
        del ctx
        return grad

    @staticmethod
    def vmap(info, in_dims, x):
        del info
        return Signs.apply(x), in_dims[0]


class CenterGradient(Signs):
    @staticmethod
    def forward(grad):
        return grad - grad.mean(1, keepdim=True)

    @staticmethod
    def vmap(info, in_dims, grad):
        del info
        return CenterGradient.apply(grad), in_dims[0]


class Center(Cube):
    """Its answers are right under vmap; backward applies a Function whose rule is not."""

    @staticmethod
    def forward(x):
        return x - x.mean(1, keepdim=True)

    @staticmethod
    def backward(ctx, grad):
        del ctx
        return CenterGradient.apply(grad)


class OnlyNumpy(Cube):
    """It says that torch can map it."""

    @staticmethod
    def forward(x):
        return x.new_tensor(x.detach().numpy() ** 3)


class OldStyle(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        del ctx
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        del ctx
        return grad


class Unruled(Cube):
    """Split as torch.func wants it, without a rule."""

    generate_vmap_rule = False


def test_a_rule_that_mixes_samples_is_an_error():
    """It is named, with the line of its vmap."""
    (found,) = result(nn.Sequential(Applies(Signs))).findings
    assert found.severity == "error"
    assert found.where == "Signs"
    assert found.expected == "the answers of each sample alone"
    assert "of 9 values differ" in found.found
    assert found.file == __file__
    assert found.line == Signs.vmap.__code__.co_firstlineno


def test_a_rule_that_changes_gradients_is_an_error():
    """Answers are equal, the gradients of a sample are not."""
    (found,) = result(Applies(Center)).findings
    assert (found.severity, found.where) == ("error", "Center")
    assert found.expected == "the gradients of each sample alone"


def test_an_operator_with_a_wrong_rule_is_an_error():
    """It reads its argument as if its samples always came first."""

    @torch.library.custom_op("layerwright_test_vmap::center", mutates_args=())
    def center(x: torch.Tensor) -> torch.Tensor:
        return x - x.mean()

    @center.register_vmap
    def _(info, in_dims, x):
        del info
        return center(x), in_dims[0]

    class Centers(nn.Module):
        def forward(self, x):
            return torch.cat([center(one) for one in x.split(1)])

    (found,) = result(Centers()).findings
    assert (found.severity, found.where) == ("error", "layerwright_test_vmap::center")


def test_a_rule_that_raises_is_a_warning():
    """The Function says that it can be mapped."""
    (found,) = result(Applies(OnlyNumpy)).findings
    assert (found.severity, found.where) == ("warning", "OnlyNumpy")


@pytest.mark.parametrize("function", [OldStyle, Unruled])
def test_a_function_without_a_rule_is_a_note(function):
    """Most have none, and most layers are never mapped."""
    (found,) = result(Applies(function)).findings
    assert (found.severity, found.where) == ("note", function.__name__)
    assert "RuntimeError" in found.found


class Rounds(nn.Module):
    """A straight-through estimator, on values that lie half way."""

    def forward(self, x):
        x = x.round(decimals=0) + 0.5
        return x + (x.round() - x).detach()


class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.router = nn.Linear(3, 4)
        self.weights = nn.Parameter(torch.randn(4, 3, 3))

    def forward(self, x):
        gates, chosen = self.router(x).softmax(-1).topk(2)
        outputs = torch.einsum("bi,bkij->bkj", x, self.weights[chosen])
        return (gates[..., None] * outputs).sum(1)


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Parameter(torch.ones(()))
        self.unused = nn.Parameter(torch.ones(0, 3))

    def forward(self, x):
        return x * self.gate


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (Gated, (4,)),
        (lambda: Applies(Cube), (4, 3)),
        (lambda: Applies(OwnRule), (4, 3)),
        (Rounds, (4, 3)),
        (Experts, (4, 3)),
        (lambda: nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)), (4, 3)),
        (lambda: nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 3)), (2, 3, 8, 8)),
        (lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), (4, 5, 4)),
    ],
)
def test_what_maps_passes(build, shape):
    """Functions with right rules, layers of torch in eval mode, rounding, top-k, ties."""
    found = result(build(), torch.randn(*shape, generator=torch.Generator().manual_seed(1)))
    assert found.outcome == "passed", (found.reason, found.findings)


class Reads(nn.Module):
    def forward(self, x):
        return (
            x * x.sum().item()
            if x.shape[0] < 1
            else x / max(float(x.new_ones(1)), 1.0) + int((x[0, 0] > 1e9).item())
        )


class Writes(nn.Module):
    def forward(self, x):
        out = torch.zeros(x.shape)
        out[:] = x
        return F.relu(out)


def test_indices_are_mapped_too():
    """Gradients of an embedding may be sparse."""
    tokens = torch.tensor([[1, 2], [3, 4], [5, 6]])
    assert result(nn.Embedding(9, 3, sparse=True), tokens).outcome in ("passed", "skipped")
    assert result(nn.Embedding(9, 3), tokens).outcome == "passed"


@pytest.mark.parametrize(
    ("build", "shape"),
    [(Reads, (4, 3)), (Writes, (4, 3)), (lambda: nn.LSTM(3, 4, batch_first=True), (4, 5, 3))],
)
def test_what_torch_cannot_map_is_skipped(build, shape):
    """A value that is read, a plain tensor that is written, a recurrent layer: no fault."""
    found = result(build(), torch.randn(*shape))
    assert found.outcome == "skipped"
    assert found.reason
