"""INI006 dead-start."""

from collections.abc import Iterator

import torch
from torch import nn

from layerwright.contract.evidence.named_parameters import parameters_by_name
from layerwright.contract.finding import Finding
from layerwright.contract.gradients import dense, projection
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.source import place_of_attribute
from layerwright.contract.trees import is_float

_STEPS = 4


@rule(
    "INI006",
    "dead-start",
    promise="the values that a parameter starts from let gradients reach it",
    family="initialization",
    severity="warning",
    needs=("train_forward", "backward", "parameters"),
    explains=("TRN002", "INI003"),
    since="0.1",
)
def dead_start(probe: Probe) -> Iterator[Finding]:
    """Looks for parameters whose gradient stays zero in training and comes with other values.

    ## Why is this bad
    Two factors that both start at zero give each other a gradient of zero, for ever. A ReLU behind
    a bias of -100 never opens. The layer runs, and a part of it is not there.

    ## Bad
    ```python
    class Adapter(nn.Module):
        def __init__(self):
            super().__init__()
            self.base = nn.Linear(3, 3)
            self.down = nn.Parameter(torch.zeros(3, 2))
            self.up = nn.Parameter(torch.zeros(2, 3))

        def forward(self, x):
            return self.base(x) + x @ self.down @ self.up


    case = Case(Adapter, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Adapter(nn.Module):
        def __init__(self):
            super().__init__()
            self.base = nn.Linear(3, 3)
            self.down = nn.Parameter(torch.randn(3, 2) / 3**0.5)
            self.up = nn.Parameter(torch.zeros(2, 3))

        def forward(self, x):
            return self.base(x) + x @ self.down @ self.up


    case = Case(Adapter, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Let one factor of a product start at random values, and biases near zero.

    ## Limits
    A parameter counts as dead if its gradient is exactly zero in each of five training steps on
    different inputs, and not zero once the dead ones alone are drawn at random. So a zero start
    that training leaves, as in LoRA or ReZero, passes, and so does an expert that no sample chose.
    Few ReLU units may all be closed by chance, as in an `nn.RNN` with two of them: it is reported,
    since this instance does not learn there. Another seed may.
    """
    grads = probe.gradients.parameters
    suspects = {name for name, grad in grads.items() if grad is not None and not bool(grad.any())}
    if not suspects:
        return
    layer = probe.layer(training=True)
    for step in range(_STEPS):
        suspects &= _dead(probe, layer, step, learn=True)
        if not suspects:
            return
    revived = probe.layer(training=True)
    generator = torch.Generator().manual_seed(probe.seed)
    with torch.no_grad():
        for name, item in revived.named_parameters():
            if name in suspects and is_float(item) and item.numel():
                fan_in = item[0].numel() if item.dim() > 1 else item.numel()
                drawn = torch.randn(item.shape, generator=generator) / fan_in**0.5
                item.copy_(drawn.to(device=item.device, dtype=item.dtype))
    alive = set.union(
        *(suspects - _dead(probe, revived, step, learn=False) for step in range(_STEPS))
    )
    count, values = len(grads), parameters_by_name(probe.subject.layer)
    for name in sorted(alive):
        path, _, attribute = name.rpartition(".")
        place = place_of_attribute(probe.subject.layer.get_submodule(path), attribute)
        value = values[name].detach()
        yield Finding(
            where=name,
            expected="a gradient within the first steps of training",
            found=f"exactly zero in {_STEPS + 1} steps; {len(alive)} of {count} parameters are so, "
            f"and are not with random values; this one lies in [{_low(value)}, {_high(value)}]",
            fix=f"start {name} from random values, such as nn.init.xavier_uniform_ or "
            "nn.init.normal_",
            file=place.file,
            line=place.line,
        )


def _dead(probe: Probe, layer: nn.Module, step: int, *, learn: bool) -> set[str]:
    """Return the names of parameters with a zero gradient on other inputs; make a step."""
    named = {name: item for name, item in layer.named_parameters() if item.requires_grad}
    inputs = probe.other_inputs(seed=step + 1)
    try:
        loss = projection(probe.call(layer, inputs, seed=probe.seed + step), probe.seed + step)
        if loss is None:
            return set()
        found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    except (LayerRaised, RuntimeError):
        return set()
    dead = set()
    with torch.no_grad():
        for (name, item), grad in zip(named.items(), map(dense, found), strict=True):
            if grad is None or not bool(grad.any()):
                dead.add(name)
            elif learn and bool(grad.isfinite().all()):
                item.sub_(0.01 * grad / grad.abs().max())
    return dead


def _low(value: torch.Tensor) -> str:
    return f"{float(value.abs().min() if value.is_complex() else value.min()):.6g}"


def _high(value: torch.Tensor) -> str:
    return f"{float(value.abs().max() if value.is_complex() else value.max()):.6g}"
