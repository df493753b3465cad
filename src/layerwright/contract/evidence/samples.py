"""The samples of an input along dimension 0, some of them or all."""

from dataclasses import dataclass

from torch import Tensor

from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised
from layerwright.contract.trees import Inputs, is_float, named_tensors

ROWS = 3  # dimensions of (samples, positions, features)


@dataclass(frozen=True)
class SampledCase:
    """A layer and inputs of a chosen number of samples along dimension 0.

    Attributes:
        probe: holds the layer.
        names: the inputs that have samples.
        inputs: all inputs.
        size: the number of samples.
    """

    probe: Probe
    names: tuple[str, ...]
    inputs: Inputs
    size: int

    @property
    def rank(self) -> int:
        """Dimensions of the samples' input; integers are indices, which gain one."""
        tensors = [item.tensor for item in self.inputs.tensors() if item.name in self.names]
        return max(tensor.dim() + (not is_float(tensor)) for tensor in tensors)

    def answer(self, size: int, start: int = 0) -> list[Tensor] | None:
        """Return the outputs for some of the samples; None if the layer refuses them."""
        part = self.inputs.map(
            lambda tensor: (
                tensor.narrow(0, start, size)
                if any(
                    tensor is item.tensor
                    for item in self.inputs.tensors()
                    if item.name in self.names
                )
                else tensor
            )
        )
        try:
            output = self.probe.call(self.probe.layer(), part.clone())
        except (LayerRaised, RuntimeError):
            return None
        return [item.tensor for item in named_tensors(output) if is_float(item.tensor)]


def samples_of(probe: Probe) -> tuple[tuple[str, ...], int]:
    """Return the inputs that have samples along dimension 0, and how many."""
    tensors = probe.inputs().tensors()
    if not tensors or tensors[0].tensor.dim() + (not is_float(tensors[0].tensor)) < ROWS - 1:
        probe.skip("its first input has one dimension: there may be a single sample")
    size = tensors[0].tensor.shape[0]
    for item in tensors[1:]:
        if not is_float(item.tensor) and item.tensor.shape[0:1] == (2,) and item.tensor.dim() == 2:
            probe.skip(f"{item.name} may hold edges: samples may meet along them")
    for item in tensors:
        if len(tensors) > 1 and item.tensor.shape[:2] == (size, size):
            probe.skip(f"{item.name} may be an adjacency: samples may meet along it")
    if size == 0:
        probe.skip("there is no sample")
    return tuple(
        item.name for item in tensors if item.tensor.dim() and item.tensor.shape[0] == size
    ), size
