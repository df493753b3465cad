"""Forward passes that leave no trace: modes, buffers and random numbers are put back."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from layerwright.initialization.filling import accelerators_of
from layerwright.random_numbers import random_numbers_kept


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
