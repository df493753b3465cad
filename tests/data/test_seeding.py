import random

import numpy as np
import pytest
import torch

from layerwright.data.seeding import fixed_order, generator, mixed_seed, private_randomness


def splitmix64(seed, count):
    """SplitMix64 with Python's own whole numbers, as the paper writes it."""
    mask, state, keys = 2**64 - 1, seed, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        keys.append(z ^ (z >> 31))
    return keys


def test_a_seed_is_the_same_for_ever():
    """Written down: a run that is resumed by another version must draw the same."""
    assert mixed_seed(3, "order", 7) == 8167213760485413463


def test_seeds_for_different_purposes_differ():
    """Seed, purpose and epoch all count, and neighbours are not confused."""
    seeds = {mixed_seed(s, p, e) for s in range(5) for p in ("a", "b") for e in range(50)}
    assert len(seeds) == 500
    assert mixed_seed(1, 23) != mixed_seed(12, 3)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_generator_draws_by_purpose_only():
    """Two generators for one purpose draw the same; the global one is not touched."""
    before = torch.get_rng_state()
    first, second, other = (torch.rand(3, generator=generator(0, "x", e)) for e in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_the_fixed_order_follows_splitmix64(count):
    """The order is that of the keys of SplitMix64, computed here with Python's integers."""
    keys = splitmix64(mixed_seed("digits", "test"), count)
    expected = sorted(range(count), key=keys.__getitem__)
    assert fixed_order(count, "digits", "test").tolist() == expected


def test_private_randomness_repeats_and_leaves_no_trace(global_randomness):
    """All three global generators draw a function of the parts, and are put back."""
    before = global_randomness()
    drawn = []
    for epoch in (1, 2, 1):
        with private_randomness(0, epoch):
            drawn.append((torch.rand(()).item(), np.random.rand(), random.random()))
    assert drawn[0] == drawn[2]
    assert all(a != b for a, b in zip(drawn[0], drawn[1], strict=True))
    assert global_randomness() == before


def test_private_randomness_is_put_back_after_an_error(global_randomness):
    """An error inside does not leave the global generators seeded."""
    before = global_randomness()
    with pytest.raises(ZeroDivisionError), private_randomness(0):
        _ = torch.rand(()) / (1 // 0)
    assert global_randomness() == before
