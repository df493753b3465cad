"""DST001 ddp-step-fails."""

import inspect
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from layerwright.contract.finding import Finding
from layerwright.contract.gradients import projection
from layerwright.contract.probe import Attempt, Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import place_of_parameter
from layerwright.contract.torch_compat.process_group import process_group_of_one
from layerwright.contract.trees import Inputs
from layerwright.random_numbers import seed_all

# Two steps show what the first one leaves behind.
STEPS = 2
# Tries to get a gradient for a parameter: other weights, inputs and random numbers each time.
TRIES = 32


@rule(
    "DST001",
    "ddp-step-fails",
    promise="two training steps work under DistributedDataParallel",
    family="distribution",
    tier="full",
    needs=("forward", "backward", "parameters"),
    excused_by=("data_dependent_shape",),
    since="0.1",
)
def ddp_step_fails(probe: Probe) -> Iterator[Finding]:
    """Makes two training steps under DistributedDataParallel, in a group of this process alone.

    ## Why is this bad
    DistributedDataParallel waits for the gradient of every parameter. What works on one device
    stops at the second step as soon as there are two.

    ## Bad
    ```python
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(3, 4)
            self.head = nn.Linear(4, 2)
            self.extra = nn.Linear(4, 2)

        def forward(self, x):
            with torch.no_grad():
                extra = self.extra(self.body(x))
            return self.head(self.body(x)) + extra


    case = Case(Classifier, inputs=(torch.randn(4, 3),), traits={"stops_gradient": True})
    ```

    ## Good
    ```python
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(3, 4)
            self.head = nn.Linear(4, 2)
            self.extra = nn.Linear(4, 2)

        def forward(self, x):
            y = self.body(x)
            return self.head(y) + self.extra(y)


    case = Case(Classifier, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Remove parameters that get no gradient, or freeze them with `requires_grad_(False)` before
    wrapping. Do not replace Parameters in forward. Where parameters go unused on purpose, wrap
    with `find_unused_parameters=True`.

    ## Limits
    A layer whose parameters are all used sooner or later, as experts are, is not reported, nor is
    one in which a parameter gets no gradient in some steps only, or one whose forward might use it
    with another value of an argument that is left out, a word, a flag or a whole number. There is
    one process: what processes do to each other is seen with `--ranks 2`, by DST003 and DST004.

    ## References
    - https://github.com/pytorch/pytorch/issues/43259: parameters that were not used in the loss
    - https://github.com/ultralytics/ultralytics/issues/5821: the same in a user's network
    """
    plain = probe.attempt(lambda: _steps(probe, probe.layer(training=True)))
    if plain.raised:
        probe.skip(f"two steps without DistributedDataParallel raised {plain.raised.words}")
    with process_group_of_one():
        wrapped = probe.attempt(lambda: _wrapped_steps(probe))
    if wrapped.raised is None:
        return
    unused = _never_used(probe)
    place = probe.place()
    where = "the second training step"
    if unused and (name := _chooses(probe)):
        probe.skip(f"{unused[0]} may belong to the argument {name}, with another value")
    if unused:
        where = f"{unused[0]}" + (f" (and {len(unused) - 1} more)" if len(unused) > 1 else "")
        place = place_of_parameter(probe.subject.layer, unused[0])
        why = "gets no gradient"
    elif "Expected to have finished reduction" in wrapped.raised.words:
        rebound = _rebound(probe)
        if not rebound:
            probe.skip("some parameters get no gradient in some steps only")
        where = rebound[0]
        place = place_of_parameter(probe.subject.layer, rebound[0])
        why = "is another Parameter after forward than before"
    else:
        why = "works without DistributedDataParallel"
    yield Finding(
        where=where,
        expected=f"{STEPS} training steps under DistributedDataParallel",
        found=f"it {why}, and the wrapped layer raised {wrapped.raised.words[:160]}",
        fix="remove or freeze parameters that get no gradient, keep Parameters in place, or wrap "
        "with find_unused_parameters=True",
        file=place.file,
        line=place.line,
    )


def _chooses(probe: Probe) -> str:
    """Return an argument of forward that may choose what is used, or "".

    It is left at its default, or its value is a word, a flag or a whole number.
    """
    given = probe.inputs()
    try:
        signature = inspect.signature(probe.subject.layer.forward)
        bound = signature.bind(*given.args, **given.kwargs).arguments
    except (TypeError, ValueError):  # a forward without a signature
        return ""
    return next(
        (
            name
            for name, parameter in signature.parameters.items()
            if isinstance(bound.get(name), str | int)
            or (name not in bound and parameter.default is not inspect.Parameter.empty)
        ),
        "",
    )


def _wrapped_steps(probe: Probe) -> None:
    # Frozen parameters and buffers are what it was told to leave alone.
    _steps(probe, DistributedDataParallel(probe.layer(training=True)))


def _steps(probe: Probe, layer: nn.Module) -> None:
    optimizer = torch.optim.SGD([p for p in layer.parameters() if p.requires_grad], lr=1e-3)
    for step in range(STEPS):
        output = probe.call(layer, seed=probe.seed + step)
        loss = projection(output, probe.seed)
        if loss is None:
            probe.skip("no output requires gradients in training mode")
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def _never_used(probe: Probe) -> list[str]:
    """Return the parameters that get no gradient; none if other inputs or weights change them."""
    waiting: set[str] | None = None
    for seed in range(TRIES):
        layer = probe.layer(training=True)
        if seed:
            _shake(layer, seed)
        inputs = probe.other_inputs(seed) if seed else probe.inputs()

        def run(layer: nn.Module = layer, inputs: Inputs = inputs, seed: int = seed) -> None:
            loss = projection(probe.call(layer, inputs, seed=probe.seed + seed), probe.seed)
            if loss is not None:
                loss.backward()

        attempt: Attempt = probe.attempt(run)
        if attempt.raised:
            continue
        none = {name for name, p in layer.named_parameters() if p.requires_grad and p.grad is None}
        if waiting is not None and none != waiting:
            return []  # it chooses what to use
        waiting = none
        if not waiting:
            break
    order = [name for name, _ in probe.subject.layer.named_parameters()]
    return [name for name in order if name in (waiting or ())]


def _shake(layer: nn.Module, seed: int) -> None:
    """Change the parameters, so that a layer which chooses makes other choices."""
    seed_all(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            if parameter.is_floating_point() and parameter.numel():
                scale = float(parameter.abs().mean()) or 0.1
                parameter.add_(torch.randn_like(parameter) * 2 * scale)


def _rebound(probe: Probe) -> list[str]:
    """Return the names that hold another Parameter after a call than before."""
    layer = probe.layer(training=True)
    before = dict(layer.named_parameters())
    probe.call(layer)
    after = dict(layer.named_parameters())
    return [name for name, one in before.items() if after.get(name) is not one]
