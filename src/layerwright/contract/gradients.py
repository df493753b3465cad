"""One backward pass: a random projection of all outputs, and what it sends to each leaf."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.contract.trees import Inputs, is_float, named_tensors


@dataclass(frozen=True)
class Gradients:
    """Gradients by name; None where backward sent nothing. Sparse ones are made dense.

    Attributes:
        inputs: of the floating-point inputs.
        parameters: of the parameters that require gradients.
    """

    inputs: Mapping[str, Tensor | None]
    parameters: Mapping[str, Tensor | None]


def projection(output: Any, seed: int = 0) -> Tensor | None:
    """Return the sum of all differentiable outputs, each value weighted by a random number.

    The weights lie in [0.5, 1.5] with random signs, so that no gradient cancels by symmetry.

    Returns:
        A scalar, or None if no output requires gradients.
    """
    generator = torch.Generator().manual_seed(seed)
    total: Tensor | None = None
    for item in named_tensors(output):
        if not is_float(item.tensor):
            continue
        value = torch.view_as_real(item.tensor) if item.tensor.is_complex() else item.tensor
        weights = weights_like(value, generator)  # drawn for all, so that each keeps its own
        if not value.requires_grad:
            continue
        term = (value * weights).sum()
        total = term if total is None else total + term.to(total.dtype)
    return total


def weights_like(value: Tensor, generator: torch.Generator) -> Tensor:
    """Return random weights with the shape and dtype of an output."""
    drawn = torch.rand(value.shape, generator=generator, dtype=torch.float64) + 0.5
    signs = torch.randint(0, 2, value.shape, generator=generator) * 2 - 1
    return (drawn * signs).to(device=value.device, dtype=value.dtype)


def backward(layer: nn.Module, inputs: Inputs, output: Any, seed: int = 0) -> Gradients | None:
    """Send a random projection of the output back, and collect the gradients.

    Args:
        layer: the layer that was called.
        inputs: what it was called with; see `Inputs.requiring_grad`.
        output: what it returned.
        seed: of the projection.

    Returns:
        The gradients, or None if no output requires any.
    """
    loss = projection(output, seed)
    if loss is None:
        return None
    floats = [item for item in inputs.floats() if item.tensor.requires_grad]
    parameters = [(name, item) for name, item in layer.named_parameters() if item.requires_grad]
    leaves = [*(item.tensor for item in floats), *(item for _, item in parameters)]
    for leaf in leaves:
        leaf.grad = None
    # Not torch.autograd.grad: a reentrant checkpoint refuses it.
    loss.backward(retain_graph=True)
    found = [dense(leaf.grad) for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    return Gradients(
        {item.name: grad for item, grad in zip(floats, found, strict=False)},
        {name: grad for (name, _), grad in zip(parameters, found[len(floats) :], strict=True)},
    )


def dense(gradient: Tensor | None) -> Tensor | None:
    """Return a gradient that all operators accept: those of embeddings may be sparse."""
    return gradient.to_dense() if gradient is not None and gradient.is_sparse else gradient
