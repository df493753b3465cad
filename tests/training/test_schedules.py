"""Schedules against torch's schedulers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from layerwright.errors import OptionError
from layerwright.training.schedules import SCHEDULES, resolve_schedule


def torch_factors(total_steps, make_scheduler):
    """The learning rates that torch's scheduler gives to each step, with a peak of 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make_scheduler(optimizer)
    factors = []
    for step in range(total_steps):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < total_steps - 1:
            scheduler.step()
    return factors


@settings(deadline=None, max_examples=20)
@given(st.integers(min_value=1, max_value=120))
def test_cosine_is_torchs_cosine_annealing(total_steps):
    """Each step's factor is that of CosineAnnealingLR with T_max = total_steps."""
    expected = torch_factors(total_steps, lambda o: CosineAnnealingLR(o, T_max=total_steps))
    factor = resolve_schedule("cosine", total_steps)
    found = [factor(step) for step in range(total_steps)]
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert found[0] == 1.0


@settings(deadline=None, max_examples=20)
@given(st.integers(min_value=2, max_value=120))
def test_one_cycle_is_torchs_one_cycle(total_steps):
    """Each step's factor is that of OneCycleLR with torch's defaults."""
    expected = torch_factors(
        total_steps, lambda o: OneCycleLR(o, 1.0, total_steps=total_steps, cycle_momentum=False)
    )
    factor = resolve_schedule("one-cycle", total_steps)
    found = [factor(step) for step in range(total_steps)]
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_one_cycle_rises_for_30_percent_and_ends_near_zero():
    """The documented start, peak and end."""
    factor = resolve_schedule("one-cycle", 100)
    assert factor(0) == pytest.approx(1 / 25)
    assert factor(29) == 1.0
    assert factor(99) == pytest.approx(1 / 250_000)
    assert max(range(100), key=factor) == 29


def test_a_run_of_one_step_is_at_the_peak():
    """No schedule wastes the only step."""
    for name in SCHEDULES:
        assert resolve_schedule(name, 1)(0) == 1.0


def test_constant_is_one():
    """At each step, and past the end too."""
    factor = resolve_schedule("constant", 3)
    assert [factor(step) for step in range(5)] == [1.0] * 5


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_a_pure_function_of_the_step(name):
    """Any order of calls gives the same factors, so that a resumed run continues exactly."""
    factor = resolve_schedule(name, 50)
    forwards = [factor(step) for step in range(50)]
    assert [factor(step) for step in reversed(range(50))][::-1] == forwards
    assert [resolve_schedule(name, 50)(step) for step in range(50)] == forwards


@pytest.mark.parametrize("name", SCHEDULES)
def test_past_the_end_the_last_factor_stays(name):
    """A cosine does not rise again."""
    factor = resolve_schedule(name, 10)
    assert factor(10) == factor(1000) == factor(9)


def test_a_users_schedule_gets_step_and_total():
    """Any callable will do, and whatever becomes a float."""
    factor = resolve_schedule(lambda step, total: torch.tensor(1 - step / total), 4)
    assert [factor(step) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]
    assert type(factor(1)) is float


@pytest.mark.parametrize("received", [-0.1, math.nan, math.inf, None, "high"])
def test_a_users_impossible_factor_is_refused(received):
    """A negative, non-finite or missing factor stops with the step at which it was given."""

    def mine(step, total_steps):
        return received

    with pytest.raises(OptionError) as caught:
        resolve_schedule(mine, 10)(3)
    assert str(caught.value) == (
        f"schedule 'mine' expected a factor from 0, received {received!r} at step 3 of 10. "
        "Fix: return a finite number."
    )


@pytest.mark.parametrize(
    ("spec", "total_steps", "message"),
    [
        (
            "cosin",
            10,
            "unknown schedule 'cosin'. Did you mean 'cosine'? Known: constant, cosine, one-cycle.",
        ),
        (
            0.5,
            10,
            (
                "schedule expected a name or a callable (step, total_steps) -> factor, received "
                "0.5. Fix: choose one of constant, cosine, one-cycle, or give a function."
            ),
        ),
        (
            "constant",
            0,
            (
                "schedule expected at least 1 step in total, received 0. "
                "Fix: train for at least one epoch on at least one batch."
            ),
        ),
    ],
)
def test_impossible_schedules_are_refused(spec, total_steps, message):
    """The message says what is possible."""
    with pytest.raises(OptionError) as caught:
        resolve_schedule(spec, total_steps)
    assert str(caught.value) == message
