"""A few training steps in one of several ranks, each with inputs and random numbers of its own."""

from collections.abc import Callable

import torch
from torch import nn

from layerwright.contract.gradients import projection
from layerwright.contract.probe import Probe
from layerwright.contract.trees import Inputs

STEPS = 3
_RATE = 1e-2
_SEEDS = 1000  # apart, so that no two ranks draw the same numbers


def inputs_of(probe: Probe, rank: int) -> Inputs:
    """Return what a rank trains on: the example's inputs, or their values in other places."""
    return probe.other_inputs(rank) if rank else probe.inputs()


def train(
    probe: Probe,
    rank: int,
    layer: Callable[..., object],
    *,
    update: nn.Module | None = None,
    after_backward: Callable[[], None] = lambda: None,
) -> None:
    """Make `STEPS` forward and backward passes, as a training script makes them.

    Args:
        probe: holds the layer.
        rank: of this process.
        layer: a copy of it in training mode, perhaps wrapped.
        update: whose parameters an optimizer changes after each pass; None changes none.
        after_backward: called after each backward pass.

    Raises:
        LayerRaised: forward raised.
        Skip: no output requires gradients.
    """
    parameters = [item for item in update.parameters() if item.requires_grad] if update else []
    optimizer = torch.optim.SGD(parameters, lr=_RATE) if parameters else None
    for step in range(STEPS):
        seed = probe.seed + _SEEDS * rank + step
        output = probe.call(layer, inputs_of(probe, rank), seed=seed)  # type: ignore[arg-type]
        loss = projection(output, probe.seed)
        if loss is None:
            probe.skip("no output requires gradients in training mode")
        loss.backward()
        after_backward()
        if optimizer is not None:
            optimizer.step()
            optimizer.zero_grad()
