"""TRN002 dead-parameter."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.contract.evidence.usage import place_of_part
from layerwright.contract.finding import Finding
from layerwright.contract.gradients import projection
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.torch_compat.functions import is_function_node
from layerwright.contract.torch_compat.graph import graph_nodes
from layerwright.contract.trees import Inputs, is_float

_TRIES = 5

# Operators without a slope: the first row anywhere, the second where they run over one value.
# Behind all others a gradient is zero because a value is, and may come with larger inputs.
_FLAT = (
    "Round", "Floor", "Ceil", "Trunc", "Sign", "Sgn", "Heaviside", "Bernoulli",
    "Softmax", "LogSoftmax", "NativeLayerNorm", "NativeGroupNorm", "NativeBatchNorm",
)  # fmt: skip


@rule(
    "TRN002",
    "dead-parameter",
    promise="the gradient of a used parameter is not zero for all inputs and all values",
    family="training",
    severity="warning",
    needs=("train_forward", "backward", "parameters", "float_outputs"),
    explains=("INI003",),
    excused_by=("stops_gradient",),
    since="0.1",
)
def dead_parameter(probe: Probe) -> Iterator[Finding]:
    """Looks for parameters whose gradient is exactly zero, whatever goes in and wherever they are.

    ## Why is this bad
    The optimizer gets a gradient, and it never moves anything. Rounding, a sign, or a softmax over
    a single value end what is behind them; the output looks alive.

    ## Bad
    ```python
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.score = nn.Linear(6, 1)

        def forward(self, x):
            return x * torch.softmax(self.score(x), dim=-1)


    case = Case(Gate, inputs=(torch.randn(4, 6),))
    ```

    ## Good
    ```python
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.score = nn.Linear(6, 1)

        def forward(self, x):
            return x * torch.sigmoid(self.score(x))


    case = Case(Gate, inputs=(torch.randn(4, 6),))
    ```

    ## How to fix
    Replace the operator that the finding names by one with a slope: a sigmoid for a softmax over
    one value, or `x + (x.round() - x).detach()` for rounding.

    ## Limits
    A parameter that is zero or dead at its start and lives with other values is for INI006, one
    without any gradient for TRN001. Only operators without slope are blamed. Where the gradient
    ends in a product with zeros, or in a unit that larger inputs may open, the rule is skipped: a
    first state of zeros, a high threshold, `0 * parameter.sum()` for DistributedDataParallel. So is
    a softmax that runs over one value because the example is one step long. Parameters that the
    traits `frozen_parameters` or `unused_parameters` name are not judged.
    """
    traits = probe.traits
    dead = {
        name
        for name in _dead(probe)
        if not (traits.may_be_frozen(name) or traits.may_be_unused(name))
    }
    if not dead:
        return
    layer = probe.layer()
    ends = {name: _where_it_ends(probe, name) for name in sorted(dead)}
    faults = {
        name: [end for end in all_ends if end.startswith(_FLAT)] for name, all_ends in ends.items()
    }
    if not any(faults.values()):
        probe.skip(
            f"{min(dead)} gets a zero gradient, and no operator without a slope stands in its way"
        )
    for name, operators in faults.items():
        if not operators:
            continue
        place = place_of_part(layer, name)
        yield Finding(
            where=name,
            expected="a gradient that is not zero for all inputs",
            found=f"exactly zero for {_TRIES + 1} inputs, with its own and with random values; the "
            f"gradient ends in {', '.join(operators[:3])}",
            fix="use an operator that has a slope there, or pass the gradient straight through",
            file=place.file,
            line=place.line,
        )


def _dead(probe: Probe) -> set[str]:
    """Return the parameters with a zero gradient, whatever comes in and wherever they are."""
    gradients = probe.gradients.parameters
    dead = {name for name, grad in gradients.items() if grad is not None and not bool(grad.any())}
    for step in range(_TRIES):
        if not dead:
            break
        layer = probe.layer(training=True)
        if step > 0:
            _move(layer, probe.seed + 7_919 + step, wide=step > 2)
        found = _zero(probe, layer, _other(probe, step))
        if found is not None:
            dead &= found
    for inputs in _longer(probe.inputs()) if dead else ():
        found = _zero(probe, probe.layer(training=True), inputs)
        if found is not None:
            dead &= found
    return dead


def _other(probe: Probe, step: int) -> Inputs:
    """Return other inputs, every second time with noise as large as the values."""
    inputs = probe.other_inputs(step + 1)
    if step % 2 == 0:
        return inputs
    generator = torch.Generator().manual_seed(step)

    def noisy(tensor: Tensor) -> Tensor:
        if not is_float(tensor) or tensor.is_complex():
            return tensor
        scale = float(tensor.abs().mean()) or 1.0
        noise = torch.randn(tensor.shape, generator=generator)
        return tensor + scale * noise.to(device=tensor.device, dtype=tensor.dtype)

    return inputs.map(noisy)


def _longer(inputs: Inputs) -> Iterator[Inputs]:
    """Yield the inputs with three steps, that differ, for one: in all dimensions, and in each."""
    dims = {dim for _, item in inputs.tensors() for dim, size in enumerate(item.shape) if size == 1}
    for chosen in dict.fromkeys([tuple(sorted(dims)), *((dim,) for dim in sorted(dims))]):

        def longer(tensor: Tensor, chosen: tuple[int, ...] = chosen) -> Tensor:
            factors = (1, 2, 3) if is_float(tensor) else (1, 1, 1)
            for dim in chosen:
                if dim < tensor.dim() and tensor.shape[dim] == 1:
                    tensor = torch.cat([tensor * factor for factor in factors], dim)
            return tensor

        if chosen:
            yield inputs.map(longer)


def _move(layer: nn.Module, seed: int, *, wide: bool) -> None:
    """Draw all trained parameters anew, each about as large as such parameters are."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for item in layer.parameters():
            if not item.requires_grad or not is_float(item) or not item.numel():
                continue
            fan_in = max(1, item[0].numel()) if item.dim() > 1 else 1
            drawn = torch.randn(item.shape, generator=generator) * (3.0 if wide else 1.0)
            drawn = drawn.to(device=item.device, dtype=item.dtype) / fan_in**0.5
            item.copy_(drawn if item.dim() > 1 else item + 0.5 * drawn)


def _zero(probe: Probe, layer: nn.Module, inputs: Inputs) -> set[str] | None:
    """Return the parameters with a zero gradient; None if the layer refuses the inputs."""
    named = {name: item for name, item in layer.named_parameters() if item.requires_grad}
    try:
        loss = projection(probe.call(layer, inputs), probe.seed)
        if loss is None or not bool(loss.isfinite()):
            return None
        grads = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    except Exception:  # noqa: BLE001 - backward runs the layer's code; other values may be refused
        return None
    return {
        name
        for name, grad in zip(named, grads, strict=True)
        if grad is not None and not bool(grad.any())
    }


def _where_it_ends(probe: Probe, name: str) -> list[str]:
    """Return the operators that get a gradient and pass on nothing but zeros.

    With longer inputs too if the layer takes them: over several steps the bias in front of a
    softmax has gradients that cancel, and their sum may happen to be an exact zero.
    """
    ends = _ends(probe, name, probe.inputs())
    for inputs in _longer(probe.inputs()):
        try:
            others = _ends(probe, name, inputs)
        except Exception:  # noqa: BLE001, S112 - the layer's own code may refuse other shapes
            continue
        ends = [end for end in ends if end in others]
    return ends


def _ends(probe: Probe, name: str, inputs: Inputs) -> list[str]:
    layer = probe.layer(training=True)
    for other, item in layer.named_parameters():
        item.requires_grad_(other == name)
    output = probe.call(layer, inputs)
    loss = projection(output, probe.seed)
    if loss is None:
        return []
    ends: dict[str, None] = {}

    def watch(node: Any) -> None:
        def hook(into: Any, out_of: Any) -> None:
            live = any(isinstance(item, Tensor) and bool(item.any()) for item in out_of)
            sent = [item for item in into if isinstance(item, Tensor)]
            if (
                live
                and sent
                and not is_function_node(node)
                and not any(bool(item.any()) for item in sent)
            ):
                ends[node.name().removesuffix("Backward0").removesuffix("Backward")] = None

        node.register_hook(hook)

    for node in graph_nodes(output):
        if node.next_functions:
            watch(node)
    loss.backward()
    return list(ends)
