"""Forward passes that leave no trace: modes, buffers and random numbers are put back."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from layerwright.initialization.filling import accelerators_of


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Put back, at the end, what forward passes change in a network and in the process.

    Put back: training flags, buffers such as running statistics, and the random states of torch
    (CPU and the devices that hold parameters), numpy and random.
    """
    modes = [(module, module.training) for module in network.modules()]
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in network.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    try:
        with random_numbers_kept(*accelerators_of(network)):
            yield
    finally:
        for module, training in modes:
            module.training = training
        with torch.no_grad():
            for module, name, buffer, value in buffers:
                if getattr(module, name) is not buffer:
                    setattr(module, name, buffer)
                buffer.copy_(value)


@contextmanager
def random_numbers_kept(kind: str, indices: list[int]) -> Iterator[None]:
    """Put back, at the end, the random states of torch, numpy and random.

    Args:
        kind: of the accelerators, such as "cuda".
        indices: their numbers; the CPU's state is always put back.
    """
    states = np.random.get_state(), random.getstate()  # noqa: NPY002 - layers draw from it
    try:
        with torch.random.fork_rng(devices=indices, device_type=kind):
            yield
    finally:
        np.random.set_state(states[0])  # noqa: NPY002 - see above
        random.setstate(states[1])


def seed_everything(seed: int) -> None:
    """Seed torch, numpy and random, so that each pass draws the same dropout masks."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - layers draw from the global generator
    random.seed(seed)
