"""REG009: constructors that reach beyond their layer."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def judged(layer, *inputs):
    """Return the result of REG009."""
    (result,) = check(layer, *inputs, select=["REG009"]).results
    return result


def layer_that(act):
    """Return a class whose constructor calls `act`."""

    class Acting(nn.Linear):
        def __init__(self):
            act()
            super().__init__(3, 3)

    return Acting


@pytest.mark.parametrize(
    ("act", "name"),
    [
        (lambda: torch.manual_seed(0), "torch"),
        (lambda: np.random.seed(0), "numpy"),
        (lambda: random.seed(0), "random"),
        (lambda: torch.set_default_dtype(torch.float64), "default dtype"),
        (lambda: torch.set_grad_enabled(False), "grad mode"),
    ],
)
def test_seeds_and_switches_are_errors(act, name):
    """Each is named, and the caller's own state is put back."""
    before = torch.get_rng_state()
    findings = judged(layer_that(act), torch.randn(4, 3)).findings
    torch.set_rng_state(before)
    assert [item.severity for item in findings] == ["error"]
    assert name in findings[0].expected
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


def test_an_instance_is_built_again_to_see_it():
    """Its constructor is called a second time."""
    layer = nn.Sequential(layer_that(lambda: torch.manual_seed(0))())
    assert len(judged(layer, torch.randn(4, 3)).findings) == 1


def test_speed_switches_are_warnings():
    """They change no result by more than roundings."""
    threads = torch.get_num_threads()
    act = layer_that(lambda: torch.set_num_threads(threads + 1))
    (finding,) = judged(act, torch.randn(4, 3)).findings
    assert finding.severity == "warning"
    assert torch.get_num_threads() == threads


def forked():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.randn(3)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(3, 3),
        nn.Identity(),
        nn.LazyLinear(2),
        layer_that(forked),
        layer_that(lambda: torch.randn(3, generator=torch.Generator().manual_seed(0))),
    ],
)
def test_sound_layers_pass(layer):
    """Drawing is fine, a generator of its own too, and so is a fork that is put back."""
    assert judged(layer, torch.randn(4, 3)).outcome == "passed"
