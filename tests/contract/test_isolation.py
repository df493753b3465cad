"""Nothing that happens inside a check is left behind."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from layerwright.contract.check import check
from layerwright.contract.isolation import global_state, isolated, kept_by_classes

CACHE = {}


class Leaky(nn.Module):
    """Writes wherever a layer can write."""

    calls = 0
    seen = []  # noqa: RUF012 - the fault that is tested
    table = torch.zeros(2)

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x, memory={}):  # noqa: B006 - the fault that is tested
        type(self).calls += 1
        self.seen.append(1)
        self.table.add_(1)
        memory[len(memory)] = 1
        CACHE[len(CACHE)] = 1
        self.count += 1
        self.weight.data.add_(1)
        x.add_(1)
        torch.manual_seed(5)
        np.random.seed(5)
        random.seed(5)
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        torch.use_deterministic_algorithms(True)
        print("a layer that talks")
        return x * self.weight


def everything(layer, x):
    """Return all that a check must leave as it is."""
    return (
        Leaky.calls, list(Leaky.seen), Leaky.table.tolist(), dict(Leaky.forward.__defaults__[0]),
        dict(CACHE), layer.count.item(), layer.weight.tolist(), layer.training, x.tolist(),
        torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate(),
        global_state(), [*vars(layer)],
    )  # fmt: skip


@pytest.mark.parametrize("training", [True, False])
def test_a_check_leaves_everything_as_it_was(training, capsys):
    """The layer, its class, its globals, the inputs, every generator and every switch."""
    layer, x = Leaky().train(training), torch.ones(2, 3)
    before = everything(layer, x)
    report = check(layer, x)
    assert everything(layer, x) == before
    assert not report.ok
    assert capsys.readouterr().out == ""


def test_a_check_leaves_gradients_as_they_were():
    """Of parameters and of inputs."""
    layer, x = nn.Linear(3, 1), torch.ones(2, 3, requires_grad=True)
    layer(x).sum().backward()
    grad, input_grad = layer.weight.grad, x.grad
    check(layer, x)
    assert layer.weight.grad is grad
    assert x.grad is input_grad


def test_the_same_seed_gives_the_same_report():
    """Also after other random numbers were drawn."""

    def told(report):
        return [str(item) for item in report.findings], [
            (item.rule_id, item.outcome) for item in report.results
        ]

    first = told(check(Leaky(), torch.ones(2, 3)))
    torch.rand(7)
    assert told(check(Leaky(), torch.ones(2, 3))) == first


def test_restoring_survives_an_exception():
    """As a with-statement should."""
    before = global_state()

    def fail():
        with isolated():
            torch.set_default_dtype(torch.float64)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert global_state() == before


def test_torchs_own_classes_are_not_watched():
    """They keep nothing that a layer of a user writes."""
    assert kept_by_classes(nn.Sequential(nn.Linear(2, 2))) == []
