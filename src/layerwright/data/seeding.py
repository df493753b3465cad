"""Private randomness: every draw is a function of a seed and of what it is for.

Nothing here reads or changes the global generators, except `private_randomness`, which lends them
to a user's code and puts them back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

from layerwright.random_numbers import random_numbers_kept, seed_all


def mixed_seed(*parts: int | str) -> int:
    """Hash what a draw is for, such as `(seed, "order", epoch)`, to a seed in [0, 2**63).

    Seeds that differ in one bit give unrelated streams. torch's generator on the CPU keeps the
    lower 32 bits, numpy's legacy generator takes no more.
    """
    digest = blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """Return a torch generator on the CPU that is seeded by what it is for."""
    return torch.Generator().manual_seed(mixed_seed(*parts))


def fixed_order(count: int, *parts: int | str) -> Tensor:
    """Return a permutation of `range(count)` that no version of torch or numpy can change.

    Each index gets a key from SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom
    number generators"); the order is that of the keys. Splits of data sets are drawn this way.

    Returns:
        int64, shape `(count,)`.
    """
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64 is meant
        steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        keys = np.uint64(mixed_seed(*parts)) + steps
        keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        keys ^= keys >> np.uint64(31)
    return torch.from_numpy(np.argsort(keys, kind="stable").astype(np.int64))


@contextmanager
def private_randomness(*parts: int | str) -> Iterator[None]:
    """Seed the global generators of torch (CPU), numpy and Python inside, restore them after.

    A user's transforms draw from these generators. Inside they draw a function of `parts`, and
    what is outside, such as dropout, does not notice.
    """
    with random_numbers_kept():
        seed_all(mixed_seed(*parts))
        yield
