"""One pass over a split, in evaluation mode, that leaves no trace."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from layerwright.data.batches import Batches
from layerwright.training import random_state
from layerwright.training.losses import Loss
from layerwright.training.metrics import Metric


def evaluate_batches(
    network: nn.Module,
    batches: Batches,
    loss: Loss,
    metrics: Sequence[Metric],
    autocast: Callable[[], AbstractContextManager[Any]] | None = None,
) -> dict[str, Any]:
    """Return the mean loss and every metric over all samples of `batches`.

    Each module's mode and the global random state are left as they were found.
    """
    context = autocast or nullcontext
    loss_sum, num_samples = 0.0, 0
    for metric in metrics:
        metric.reset()
    with evaluation_mode(network), torch.no_grad(), random_state.preserved():
        for inputs, target in batches.epoch(0):
            with context():
                output = network(*inputs)
                value = loss(output, target)
            loss_sum += value.item() * len(target)
            num_samples += len(target)
            for metric in metrics:
                metric.update(output, target)
    values: dict[str, Any] = {"loss": loss_sum / max(num_samples, 1)}
    values.update({metric.name: metric.compute() for metric in metrics})
    return values


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Put every module into evaluation mode, and back into the mode that it was in."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
