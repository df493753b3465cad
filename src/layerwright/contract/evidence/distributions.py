"""Whether outputs are probabilities or log-probabilities: looked at on several inputs."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from layerwright.contract.comparing import number
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised
from layerwright.contract.trees import is_float


@dataclass(frozen=True)
class Rows:
    """Rows of an output that are distributions.

    Attributes:
        name: "probabilities" or "log-probabilities".
        dim: the dimension that sums to one.
        words: what was measured.
        tries: on how many inputs.
    """

    name: str
    dim: int
    words: str
    tries: int


def outputs_on_several_inputs(probe: Probe) -> Iterator[Tensor]:
    """Yield the one output tensor in training mode for several inputs and moved parameters.

    Yields nothing if the output is no floating-point tensor.
    """
    scales = (1.0, 1.0, 3.0, 1.0)
    for step, scale in enumerate(scales):
        layer = probe.layer(training=True)
        if step == len(scales) - 1:
            generator = torch.Generator().manual_seed(probe.seed + 7_919)
            with torch.no_grad():
                for item in layer.parameters():
                    if is_float(item) and item.numel():
                        noise = torch.randn(item.shape, generator=generator).to(item)
                        item.add_(0.5 * item.abs().mean() * noise)
        inputs = probe.other_inputs(step) if step else probe.inputs()
        inputs = inputs.map_floats(lambda x, scale=scale: x * scale)  # type: ignore[misc]
        try:
            with torch.no_grad():
                output = probe.call(layer, inputs)
        except LayerRaised:
            if step == 0:
                raise
            continue
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return
        yield output.detach().double()


def kind_of_rows(probe: Probe) -> Rows | None:
    """Return what the rows of the output are on all inputs, or None."""
    found: list[set[tuple[str, int]]] = []
    last = None
    for output in outputs_on_several_inputs(probe):
        found.append(set(_kinds(output)))
        last = output
    if last is None or not found:
        return None
    common = set.intersection(*found)
    if not common:
        return None
    name, dim = min(common, key=lambda kind: (kind[1] != 1, kind[1]))
    if name == "probabilities":
        low, high = last.sum(dim).min(), last.sum(dim).max()
        words = f"no value below zero, and sums in [{number(low)}, {number(high)}]"
    else:
        total = last.exp().sum(dim)
        words = f"their exponentials sum to [{number(total.min())}, {number(total.max())}]"
    return Rows(name, dim, words, len(found))


def _kinds(output: Tensor) -> Iterator[tuple[str, int]]:
    if not bool(output.isfinite().all()) or not output.numel():
        return
    for dim in sorted({1, output.dim() - 1}):
        if not 0 < dim < output.dim() or output.shape[dim] < 2:
            continue
        if bool((output >= 0).all()) and not bool(((output == 0) | (output == 1)).all()):
            if bool(((output.sum(dim) - 1).abs() < 1e-4).all()):
                yield "probabilities", dim
        elif bool((output <= 0).all()) and bool((output.logsumexp(dim).abs() < 1e-4).all()):
            yield "log-probabilities", dim
