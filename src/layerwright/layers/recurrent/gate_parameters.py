"""Parameters of gates: how recurrent layers and cells make them, and how they start."""

import math
from collections.abc import Mapping

import torch
from torch import nn


def register_gates(
    layer: nn.Module,
    shapes: Mapping[str, tuple[int, ...] | None],
    *,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> None:
    """Give a layer parameters that are not filled yet.

    Args:
        layer: gets them.
        shapes: by name; None registers the name without a parameter.
        device: where they live.
        dtype: their type.
    """
    for name, shape in shapes.items():
        values = None if shape is None else torch.empty(shape, device=device, dtype=dtype)
        layer.register_parameter(name, None if values is None else nn.Parameter(values))


def draw_gates(layer: nn.Module, hidden_size: int) -> None:
    """Draw all parameters from the uniform distribution in ±1/sqrt(hidden_size), as torch does."""
    bound = 1 / math.sqrt(hidden_size)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -bound, bound)
