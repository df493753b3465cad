"""How the gradient of one input or parameter compares with its slope, and where it is lost."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.contract.comparing import tolerance_of
from layerwright.contract.evidence.graph_exits import PURPOSE, Cut, CutRecorder
from layerwright.contract.evidence.named_parameters import parameters_by_name
from layerwright.contract.evidence.numeric_gradients import Difference, Slope, directions, product
from layerwright.contract.gradients import weights_like
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, Skip
from layerwright.contract.source import Place
from layerwright.contract.torch_compat.functions import is_function_node
from layerwright.contract.torch_compat.graph import graph_nodes, leaves_of
from layerwright.contract.trees import Inputs, is_float, named_tensors


@dataclass(frozen=True)
class Path:
    """One input or parameter, and how its gradient compares with its slope.

    Attributes:
        cuts: on its way to the output, and on no other's.
        analytic: the slope that backward claims.
        numeric: the slope that was measured; smooth if it can be trusted.
        total: whether backward sent nothing at all.
        rounding: what rounding alone may add to the slope that backward claims.
    """

    cuts: tuple[Cut, ...]
    analytic: float
    numeric: Slope
    total: bool
    rounding: float = 0.0

    @property
    def lost(self) -> bool:
        """Whether the measured slope is clearly another than the claimed one."""
        gap = abs(self.numeric.value - self.analytic)
        size = max(abs(self.numeric.value), abs(self.analytic))
        return self.numeric.smooth and gap > (0.05 * size + 10 * self.numeric.floor + self.rounding)

    @property
    def purpose(self) -> Cut | None:
        """The cut that the author wrote."""
        return next((cut for cut in self.cuts if cut.kind in PURPOSE), None)

    @property
    def accident(self) -> Cut | None:
        """The cut that loses gradients without saying so, if no cut on the way was written."""
        return next(iter(self.cuts), None) if self.purpose is None else None


def all_cuts(probe: Probe) -> tuple[Cut, ...]:
    """Return the cuts of one training pass in which everything requires gradients."""
    return _pass(probe, lambda name: True, training=True)[0]  # noqa: ARG005


def path_of(probe: Probe, name: str) -> Path:
    """Return the path of one parameter, or of one input, "input x", in training mode.

    Nothing else requires gradients, so that every cut that is seen lies on its way.
    """
    cuts, layer, inputs, output = _pass(probe, lambda other: other == name, training=True)
    gradient = _gradient(probe, _tensor_of((layer, inputs), name), output)
    precise = _precise(probe)
    at = _tensor_of(precise(), name).detach().clone()
    cuts = (*cuts, *_hidden(probe, layer, inputs, output, gradient))
    function = _projected(probe, precise, name)
    difference = Difference(function, at)
    total = gradient is None or not bool(gradient.any())
    path = Path(cuts, 0.0, Slope(0.0, smooth=False, floor=0.0), total)
    # Along the tensor itself, too: what divides by its own size shows there.
    size = at.abs().square().mean().sqrt().clamp(min=1e-12)
    for direction in (at / size, *directions(at, 2, probe.seed + 1)):
        numeric = difference.steady(direction)
        if not numeric.smooth and cuts:  # what went through numbers may be rounded to float32
            numeric = Difference(function, at, exact=False).steady(direction)
        claimed = rounding = 0.0
        if gradient is not None:
            claimed = product(gradient.to(at.dtype), direction)
            lengths = float(gradient.norm()) * float(direction.norm())
            rounding = tolerance_of(gradient.dtype) * lengths
        path = Path(cuts, claimed, numeric, total, rounding)
        if path.lost:
            break
    return path


def _hidden(
    probe: Probe, layer: nn.Module, inputs: Inputs, output: Any, gradient: Tensor | None
) -> tuple[Cut, ...]:
    """Return cuts that no call shows: a Parameter made in forward, a Function that sends None."""
    known = {id(item) for item in layer.parameters()}
    known.update(id(item.tensor) for item in inputs.floats())
    strange = [leaf for leaf in leaves_of(output) if id(leaf) not in known]
    if strange:
        # A leaf that the layer keeps somewhere comes again in the next call; a new one does not.
        again = {id(leaf) for leaf in leaves_of(probe.call(layer, inputs))}
        if any(id(leaf) not in again for leaf in strange):
            return (Cut("new Parameter", Place()),)
    if gradient is None and any(map(is_function_node, graph_nodes(output))):
        return (Cut("Function", Place()),)
    return ()


_State = tuple[nn.Module, Inputs]


def _pass(
    probe: Probe, wanted: Callable[[str], bool], *, training: bool
) -> tuple[tuple[Cut, ...], nn.Module, Inputs, Any]:
    layer, inputs = probe.layer(training=training), probe.inputs()
    if not all(item.is_leaf for item in layer.parameters()):
        raise Skip("copies of its parameters are no leaves of a graph")
    for name, item in layer.named_parameters():
        item.requires_grad_(item.requires_grad and wanted(name))
    for named in inputs.floats():
        named.tensor.requires_grad_(wanted(f"input {named.name}"))
    recorder = CutRecorder()
    with recorder:
        output = probe.call(layer, inputs)
    return tuple(recorder.cuts), layer, inputs, output


def _precise(probe: Probe) -> Callable[[], _State]:
    """Return what makes fresh layers and inputs, in float64 if the layer bears it."""

    def double() -> _State:
        return probe.layer(training=True).double(), probe.inputs().to(torch.float64)

    def single() -> _State:
        return probe.layer(training=True), probe.inputs()

    with torch.no_grad():
        attempt = probe.attempt(lambda: probe.call(*double()))
    if attempt.raised:
        return single
    floats = [item.tensor for item in named_tensors(attempt.output) if is_float(item.tensor)]
    exact = floats and all(item.dtype in {torch.float64, torch.complex128} for item in floats)
    rounded = any(
        not item.is_complex()
        and bool((item == item.float().double()).all())
        and not bool((item == item.round()).all())
        for item in floats
    )
    return double if exact and not rounded else single


def _tensor_of(state: _State, name: str) -> Tensor:
    layer, inputs = state
    if name.startswith("input "):
        return next(item.tensor for item in inputs.floats() if f"input {item.name}" == name)
    return parameters_by_name(layer)[name]


def _gradient(probe: Probe, leaf: Tensor, output: Any) -> Tensor | None:
    outputs = [item.tensor for item in named_tensors(output) if is_float(item.tensor)]
    pairs = [
        (item, weight)
        for item, weight in zip(outputs, _weights(outputs, probe.seed), strict=True)
        if item.requires_grad
    ]
    if not pairs:
        return None
    try:
        (found,) = torch.autograd.grad(
            [item for item, _ in pairs], [leaf], [weight for _, weight in pairs], allow_unused=True
        )
    except Exception as error:
        raise LayerRaised(error) from error
    return found


def _projected(
    probe: Probe, fresh: Callable[[], _State], name: str
) -> Callable[[Tensor], tuple[float, float]]:
    """Return the scalar that `backward` projects outputs to, as a function of one tensor."""

    def function(value: Tensor) -> tuple[float, float]:
        layer, inputs = fresh()
        with torch.no_grad():
            if name.startswith("input "):
                inputs = inputs.replaced(name.removeprefix("input "), value)
            else:
                parameters_by_name(layer)[name].copy_(value)
            output = probe.call(layer, inputs)
            return _total(output, probe.seed)

    return function


def _total(output: Any, seed: int) -> tuple[float, float]:
    outputs = [item.tensor for item in named_tensors(output) if is_float(item.tensor)]
    total = size = 0.0
    for item, weight in zip(outputs, _weights(outputs, seed), strict=True):
        terms = (item * weight.conj()).real.double()
        total += float(terms.sum())
        size += float(terms.square().sum().sqrt())
    return total, size


def _weights(outputs: list[Tensor], seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.view_as_complex(weights_like(torch.view_as_real(item.detach()), generator))
        if item.is_complex()
        else weights_like(item, generator)
        for item in outputs
    ]
