"""The process's random state: seeded, captured, restored, preserved."""

import random

import numpy as np
import pytest
import torch

from layerwright.random_numbers import seed_all_devices
from layerwright.training import random_state


def draws():
    return random.random(), float(np.random.rand()), float(torch.rand(())), float(np.random.randn())


def test_a_captured_state_repeats_every_generator():
    """Python, numpy (with its cached normal number) and torch give the same numbers again."""
    seed_all_devices(5)
    draws()  # leaves numpy with a cached normal number
    state = random_state.capture()
    first = draws()
    random_state.restore(state)
    assert draws() == first


def test_a_captured_state_survives_a_checkpoint(tmp_path):
    """It is made of types that loading without code allows."""
    state = random_state.capture()
    first = draws()
    torch.save(state, tmp_path / "state.pt")
    random_state.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    assert draws() == first


def test_seeds_differ():
    """The seed decides; numbers are repeated for the same one only."""
    numbers = []
    for seed in (1, 1, 2):
        seed_all_devices(seed)
        numbers.append(draws())
    assert numbers[0] == numbers[1]
    assert all(a != b for a, b in zip(numbers[0], numbers[2], strict=True))


def test_what_happens_inside_preserved_is_not_noticed_outside():
    """Also when it ends in an error."""
    seed_all_devices(3)
    expected = draws()
    seed_all_devices(3)

    def fail_inside():
        with random_state.preserved():
            seed_all_devices(99)
            return 1 / 0

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert draws() == expected
