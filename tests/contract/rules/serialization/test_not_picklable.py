"""SER001: layers that pickle does not store, and some that look as if it did not."""

import functools
import itertools

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from layerwright.contract.check import check

X = torch.randn(4, 3)


def judge(layer):
    """Run the rule alone."""
    return check(layer, X, select=["SER001"])


class Apply(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.steps = [function]

    def forward(self, x):
        return self.steps[0](self.linear(x))


class Forgets(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = 1.0

    def __getstate__(self):
        return {**self.__dict__, "scale": 1.0}

    def __deepcopy__(self, memo):
        copy = type(self)()
        copy.scale = self.scale
        return copy

    def forward(self, x):
        return self.scale * x


class Bound(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = {"double": self.double}

    def double(self, x):
        return 2 * x

    def forward(self, x):
        return self.table["double"](x)


def test_a_lambda_in_a_list_is_named():
    """The finding is a warning and tells the attribute."""
    (finding,) = judge(Apply(lambda x: x)).findings
    assert (finding.rule_id, finding.severity, finding.where) == ("SER001", "warning", "steps[0]")
    assert "lambda" in finding.found
    assert finding.file == __file__


def test_a_function_made_by_another_is_reported():
    """In a submodule of a network too."""

    def factory():
        def inner(x):
            return x

        return inner

    (finding,) = judge(nn.Sequential(nn.ReLU(), Apply(factory()))).findings
    assert finding.where == "1.steps[0]"


def test_a_state_that_is_lost_is_an_error():
    """The loaded layer answers otherwise, which the numbers show."""
    layer = Forgets()
    layer.scale = 3.0
    (finding,) = judge(layer).findings
    assert finding.severity == "error"
    assert "12 of 12 values differ" in finding.found


class Local(nn.Module):
    def forward(self, x):
        return x


def local_layer():
    """Return a layer whose class pickle cannot import."""

    class Inner(Local):
        pass

    return Inner()


@pytest.mark.parametrize(
    "layer",
    [
        Apply(torch.tanh),
        Apply(nn.functional.relu),
        Apply(functools.partial(nn.functional.leaky_relu, negative_slope=0.2)),
        Apply(nn.GELU()),
        Bound(),
        local_layer(),
        parametrizations.weight_norm(nn.Linear(3, 3)),
        nn.LSTM(3, 4),
    ],
    ids=itertools.count(),
)
def test_what_can_be_stored_passes(layer):
    """Functions of torch, partials, methods, local classes and what torch stores in its own way."""
    assert judge(layer).counts == {"passed": 1}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_scripted_part_passes():
    """Torch stores it with torch.jit.save."""
    assert judge(nn.Sequential(torch.jit.script(nn.Linear(3, 3)))).counts == {"passed": 1}


def test_hooks_are_not_judged():
    """A lambda as a hook is often there for a look only."""
    layer = nn.Linear(3, 3)
    layer.register_forward_hook(lambda module, args, output: None)
    assert judge(layer).counts == {"passed": 1}
