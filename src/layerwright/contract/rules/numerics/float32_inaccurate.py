"""NUM004 float32-inaccurate."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.contract.evidence.degenerate import is_unbounded, real_floats
from layerwright.contract.evidence.precision import is_finite, why_not_castable
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.torch_compat.dispatch import OpRecorder
from layerwright.contract.trees import Inputs, named_tensors

OFFSET = 3000.0  # times the spread of the input
WRONG = 2e-2  # of the largest value: far more than roundings
MOST = 1 / 3  # of the values: jumps of a few are no loss of accuracy
BEYOND = 100.0  # times what roundings of the inputs and the parameters alone would do


@rule(
    "NUM004",
    "float32-inaccurate",
    promise="float32 loses no more than the problem itself makes it lose",
    family="numerics",
    severity="warning",
    needs=("forward", "float32", "float_inputs", "float_outputs", "deterministic"),
    requires=("DTY001", "DTY002", "NUM002"),
    since="0.1",
)
def float32_inaccurate(probe: Probe) -> Iterator[Finding]:
    """Adds an offset of 3000 spreads to the inputs, and compares float32 with float64.

    The error must be a hundred times what a last-digit change of inputs and parameters does.

    ## Why is this bad
    The difference of two large numbers keeps only their last digits. A variance that is computed as
    `E[x^2] - E[x]^2` is noise, or negative, as soon as the mean outweighs the spread, which real
    features with an offset reach.

    ## Bad
    ```python
    class Variance(nn.Module):
        def forward(self, x):
            return x.square().mean(-1) - x.mean(-1).square()


    case = Case(Variance, inputs=(torch.randn(5, 16),))
    ```

    ## Good
    ```python
    class Variance(nn.Module):
        def forward(self, x):
            return (x - x.mean(-1, keepdim=True)).square().mean(-1)


    case = Case(Variance, inputs=(torch.randn(5, 16),))
    ```

    ## How to fix
    Subtract what the numbers have in common, the mean or the largest, before you square,
    exponentiate or divide. For a variance use `torch.var`, `torch.var_mean` or `F.layer_norm`.

    ## Limits
    Layers that draw random numbers or compute in float32 inside a float64 run are skipped. Inputs
    whose examples are bounded, of one sign, normalised or sorted get no offset. A third of the
    output must be wrong.
    """
    reason = why_not_castable(probe.layer(), probe.inputs())
    if reason:
        probe.skip(reason)
    inputs = _offset(probe)
    if inputs is None:
        probe.skip("all its inputs are bounded, as the examples show")
    mixed: list[bool] = []
    for training in (False, True):
        layer = probe.layer(training=training)
        wide_layer = probe.layer(training=training).double()
        with torch.no_grad():
            narrow = probe.attempt(lambda layer=layer: probe.call(layer, inputs.clone()))  # type: ignore[misc]
            recorder = OpRecorder(with_places=False)
            with recorder:
                wide = probe.attempt(
                    lambda layer=wide_layer: probe.call(layer, inputs.to(torch.float64))  # type: ignore[misc]
                )
        if narrow.raised or wide.raised or not is_finite(wide.output):
            continue
        if _is_mixed(recorder):
            mixed.append(training)
            continue
        words = _beyond(probe, inputs, narrow.output, wide.output, training=training)
        if words:
            yield Finding(
                where=f"forward ({'training' if training else 'eval'} mode), inputs with an offset",
                expected="an error as small as that of rounded inputs",
                found=words,
                fix="large numbers cancel: subtract what they have in common (the mean, the "
                "largest) before you square, exponentiate or divide; for a variance use torch.var",
            )
            return
    if len(mixed) == 2:
        probe.skip("it computes in float32 inside a float64 run, or draws random numbers")


def _offset(probe: Probe) -> Inputs | None:
    inputs, found = probe.inputs(), False
    for item in real_floats(probe):
        if is_unbounded(item.tensor):
            new = item.tensor.detach() + OFFSET * item.tensor.std()
            inputs, found = inputs.replaced(item.name, new), True
    return inputs if found else None


def _is_mixed(recorder: OpRecorder) -> bool:
    """Tell whether a float64 run made float32 numbers, or drew random ones."""
    return any(
        torch.Tag.nondeterministic_seeded in getattr(call.overload, "tags", ())
        or any(item.dtype == torch.float32 for item in call.tensors_out)
        for call in recorder.calls
    )


def _beyond(probe: Probe, inputs: Inputs, narrow: Any, wide: Any, *, training: bool) -> str | None:
    """Return the error in words if most of an output is wrong, far beyond its conditioning."""
    pairs = list(zip(_floats(narrow), _floats(wide), strict=True))
    bad = [_error(one, other) for one, other in pairs]
    if not any(float((error > WRONG).double().mean()) > MOST for error in bad if error.numel()):
        return None
    natural = [0.0] * len(pairs)
    for draw in range(3):
        generator = torch.Generator().manual_seed(draw)
        layer = probe.layer(training=training).double()
        _perturb(layer, generator)
        moved = inputs.to(torch.float64).map_floats(lambda item: _moved(item, generator))  # noqa: B023
        with torch.no_grad():
            attempt = probe.attempt(lambda: probe.call(layer, moved))  # noqa: B023 - called at once
        if attempt.raised:
            return None
        for place, (one, other) in enumerate(
            zip(_floats(attempt.output), _floats(wide), strict=True)
        ):
            natural[place] = max(natural[place], float(_error(one, other).max()))
    for error, scale in zip(bad, natural, strict=True):
        wrong = error > max(WRONG, BEYOND * scale)
        if error.numel() and float(wrong.double().mean()) > MOST:
            return (
                f"{int(wrong.sum())} of {wrong.numel()} values are off by up to "
                f"{float(error.max()):.2g} of the largest value; rounded inputs and parameters "
                f"explain {scale:.2g}"
            )
    return None


def _floats(tree: Any) -> list[Tensor]:
    return [item.tensor for item in named_tensors(tree) if item.tensor.is_floating_point()]


def _error(one: Tensor, other: Tensor) -> Tensor:
    """Return the difference relative to the largest value; infinity where it is no number."""
    if one.shape != other.shape or one.numel() == 0:
        return torch.zeros(0)
    scale = other.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
    return ((one.double() - other.double()).abs() / scale).nan_to_num(nan=float("inf"))


def _moved(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Change a tensor in the last digit of float32."""
    if not tensor.is_floating_point():
        return tensor
    signs = torch.randint(0, 2, tensor.shape, generator=generator) * 2 - 1
    return tensor * (1 + signs * torch.finfo(torch.float32).eps)


def _perturb(layer: nn.Module, generator: torch.Generator) -> None:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(_moved(parameter, generator))
