"""Passes through a layer with as many inputs in the graph as it bears."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from layerwright.contract.gradients import Gradients, projection
from layerwright.contract.probe import Attempt, Probe
from layerwright.contract.rule import LayerRaised, Skip
from layerwright.contract.trees import Inputs


def leaf_inputs(probe: Probe) -> Iterator[tuple[str, Inputs]]:
    """Yield inputs whose floating-point tensors require gradients: all, the first only, none.

    Targets of losses, masks and positions often bear no gradient; that is no fault of the layer.
    """
    floats = [item.name for item in probe.inputs().floats()]
    if floats:
        yield "all inputs in the graph", probe.inputs().requiring_grad()
    if len(floats) > 1:
        inputs = probe.inputs()
        inputs.floats()[0].tensor.requires_grad_()
        yield f"only {floats[0]} in the graph", inputs
    yield "only parameters in the graph", probe.inputs()


def sent_back(probe: Probe, layer: nn.Module, inputs: Inputs, output: Any) -> Gradients:
    """Send a random projection of the output back with `backward()`, and collect the gradients.

    Unlike `torch.autograd.grad` this also works through a reentrant checkpoint.

    Raises:
        LayerRaised: the backward pass raised.
        Skip: no output requires gradients.
    """
    loss = projection(output, probe.seed)
    if loss is None:
        raise Skip("no output requires gradients")
    parameters = {name: item for name, item in layer.named_parameters() if item.requires_grad}
    floats = {item.name: item.tensor for item in inputs.floats() if item.tensor.requires_grad}
    for leaf in (*parameters.values(), *floats.values()):
        leaf.grad = None
    try:
        loss.backward()
    except Exception as error:
        raise LayerRaised(error) from error
    return Gradients(
        {name: item.grad for name, item in floats.items()},
        {name: item.grad for name, item in parameters.items()},
    )


def widest(probe: Probe, *, training: bool) -> tuple[nn.Module, Inputs, Gradients]:
    """Return a layer after a pass with the widest inputs that it bears, with its gradients.

    Raises:
        LayerRaised: it bears none.
        Skip: no output requires gradients, or parameters cannot collect any.
    """
    if not all(item.is_leaf for item in probe.layer().parameters()):
        raise Skip("copies of its parameters are no leaves of a graph")
    last: Skip = Skip("no pass with gradients works")
    for _, inputs in leaf_inputs(probe):
        layer = probe.layer(training=training)
        try:
            return layer, inputs, sent_back(probe, layer, inputs, probe.call(layer, inputs))
        except Skip as raised:
            last = raised
    raise last


def backward_attempt(probe: Probe, inputs: Inputs, *, training: bool) -> tuple[bool, Attempt]:
    """Return whether forward works, and the attempt of a backward pass."""
    layer = probe.layer(training=training)
    forward = probe.attempt(lambda: probe.call(layer, inputs))
    if forward.raised:
        return False, forward
    return True, probe.attempt(lambda: sent_back(probe, layer, inputs, forward.output))
