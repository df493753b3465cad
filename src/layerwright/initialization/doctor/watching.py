"""One pass of a network with all that its layers put out, for one input and for another."""

from dataclasses import dataclass

from torch import Tensor, nn

from layerwright.initialization.examples import ExampleInputs
from layerwright.initialization.signal.watching import Row, SignalHooks
from layerwright.random_numbers import seed_all_devices


@dataclass(frozen=True)
class Call:
    """One call of a layer: its output and its input."""

    output: Tensor
    input: Tensor | None


@dataclass(frozen=True)
class Pass:
    """One forward pass: rows in the order of first calls, and the network's output."""

    rows: dict[str, Row[Call]]
    outputs: list[Tensor]


def watch(
    network: nn.Module, inputs: ExampleInputs, seed: int, *, as_in: Pass | None = None
) -> Pass:
    """Run a network and note what its layers and activations put out.

    Args:
        network: its mode stays; buffers may change.
        inputs: of the pass; they are cloned.
        seed: of the pass's random numbers.
        as_in: an earlier pass, whose activations are watched again; None looks which modules are
            activations, and where they are flat.
    """
    hooks = SignalHooks(network, _copied, None if as_in is None else set(as_in.rows))
    hooks.attach()
    try:
        seed_all_devices(seed)
        given = inputs.map(Tensor.clone)
        network(*given.args, **given.kwargs)
    finally:
        hooks.remove()
    return Pass(hooks.rows(), hooks.outputs)


def _copied(output: Tensor, given: Tensor | None) -> Call:
    return Call(output.detach().clone(), None if given is None else given.detach().clone())
