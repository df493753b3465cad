"""CMP008 checkpoint-differs."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.checkpoint import CheckpointError, checkpoint

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.compiled_pass import TOLERANCE, Answer, answer
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.random_numbers import seed_all

# Calls that are compared, each under a seed of its own.
SEEDS = 16


@rule(
    "CMP008",
    "checkpoint-differs",
    promise="activation checkpointing changes no gradient",
    family="compilation",
    severity="warning",
    needs=("forward", "deterministic", "backward"),
    since="0.1",
)
def checkpoint_differs(probe: Probe) -> Iterator[Finding]:
    """Compares gradients with and without `torch.utils.checkpoint`, in training mode.

    ## Why is this bad
    Checkpointing runs forward a second time during backward, and puts torch's random state back
    for it. Numbers that come from elsewhere are drawn anew: the gradient belongs to another forward
    pass than the loss, and nothing raises.

    ## Bad
    ```python
    import numpy as np


    class Noise(nn.Module):
        def forward(self, x):
            if self.training:
                x = x * torch.from_numpy(np.random.rand(*x.shape)).to(x)
            return x


    case = Case(Noise, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Noise(nn.Module):
        def forward(self, x):
            if self.training:
                x = x * torch.rand_like(x)
            return x


    case = Case(Noise, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Draw with torch's functions and without a generator of your own in forward.

    ## Limits
    Only a difference that comes from random numbers outside of torch's own state is reported. That
    buffers move twice, as the statistics of BatchNorm do, follows from checkpointing itself. It is
    a warning, for the layer is right as long as nobody wraps it.

    ## References
    - https://pytorch.org/docs/stable/checkpoint.html
    """
    sources = _sources(probe)
    if not sources:
        return
    # Two draws may agree, as for a layer that is left out at random.
    for seed in range(probe.seed, probe.seed + SEEDS):
        words = _effect(probe, seed)
        if words:
            yield Finding(
                where="forward in training mode",
                expected="the gradients of a call without checkpoint",
                found=f"{words}; it draws from {sources[0]}, which checkpoint does not put back",
                fix="draw with torch's functions, without a generator of your own",
                file=probe.place().file,
                line=probe.place().line,
            )
            return


def _effect(probe: Probe, seed: int) -> str | None:
    """Tell what checkpoint changes under a seed, or None."""
    try:
        plain = probe.layer(training=True)
        expected = answer(probe, plain, plain, probe.inputs(), seed)
    except Exception as error:
        raise LayerRaised(error) from error
    layer = probe.layer(training=True)

    def call(*args: Any, **kwargs: Any) -> Any:
        return checkpoint(layer, *args, use_reentrant=False, **kwargs)

    try:
        actual = answer(probe, layer, call, probe.inputs(), seed)
    except CheckpointError as error:  # the second forward pass took another way
        return f"with checkpoint, backward raised {str(error).strip().splitlines()[0]}"
    except Exception as error:
        raise LayerRaised(error) from error
    return _differs(expected, actual)


def _differs(expected: Answer, actual: Answer) -> str | None:
    for name, grad in expected.gradients.items():
        other = actual.gradients.get(name)
        if grad is None or other is None:
            continue
        words = difference(grad, other, tolerance=TOLERANCE)
        if words:
            return f"with checkpoint, the gradient of {name}: {words}"
    return None


def _sources(probe: Probe) -> list[str]:
    """Return what a call in training mode draws from, beside torch's own generator."""
    layer = probe.layer(training=True)
    own = [
        (f"the generator self.{f'{path}.' if path else ''}{name}", value)
        for path, module in layer.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, torch.Generator)
    ]
    seed_all(probe.seed)
    before = _states([value for _, value in own])
    probe.call(layer, probe.inputs().requiring_grad())
    after = _states([value for _, value in own])
    names = ["Python's random", "numpy.random", *(name for name, _ in own)]
    return [name for name, one, other in zip(names, before, after, strict=True) if one != other]


def _states(own: list[torch.Generator]) -> list[Any]:
    drawn: Any = np.random.get_state()  # noqa: NPY002 - the global generator is the question
    return [
        random.getstate(),
        (drawn[1].tobytes(), *drawn[2:]),
        *(generator.get_state().numpy().tobytes() for generator in own),
    ]
