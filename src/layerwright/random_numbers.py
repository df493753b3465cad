"""The process's global random numbers: those of torch, numpy and Python."""

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed torch's CPU generator, numpy's and Python's."""
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed CUDA as well
    np.random.seed(seed % 2**32)  # noqa: NPY002 - layers and transforms draw from the global one
    random.seed(seed)


def seed_all_devices(seed: int) -> None:
    """Seed torch's generators on all devices, numpy's and Python's."""
    seed_all(seed)
    torch.manual_seed(seed)


@contextmanager
def random_numbers_kept(kind: str = "cuda", indices: Iterable[int] = ()) -> Iterator[None]:
    """Put the generators of the CPU, and those of some devices, back at the end.

    Args:
        kind: of the devices, such as "cuda".
        indices: their numbers.
    """
    states = np.random.get_state(), random.getstate()  # noqa: NPY002 - see seed_all
    try:
        with torch.random.fork_rng(devices=indices, device_type=kind):
            yield
    finally:
        np.random.set_state(states[0])  # noqa: NPY002 - see seed_all
        random.setstate(states[1])
