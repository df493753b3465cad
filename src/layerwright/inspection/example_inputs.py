"""What a network is called with: tensors, or shapes of tensors that need no memory."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.contract.trees import Inputs, map_tensors
from layerwright.errors import OptionError


def inputs_of(given: Any, network: Any = None) -> Inputs:
    """Read what a caller gives.

    Shapes become tensors on the meta device, which take no memory; `drawn` gives them values.

    Args:
        given: a tensor; a shape such as (4, 3, 32, 32); a tuple or list of tensors, shapes and
            other values, forward's positional arguments, () for none; a dict of its named ones;
            any other single value that holds tensors, such as a dataclass.
        network: whose parameters' dtype the tensors from shapes get; float32 for anything else.

    Raises:
        OptionError: there is neither a tensor nor a shape in it.
    """
    dtype = _dtype_of(network)
    if isinstance(given, Inputs):
        found = given
    elif _is_shape(given):
        found = Inputs((_meta(given, dtype),))
    elif type(given) in {tuple, list}:
        found = Inputs(tuple(_with_shapes(item, dtype) for item in given))
    elif isinstance(given, Mapping) and all(isinstance(key, str) for key in given):
        found = Inputs((), {key: _with_shapes(item, dtype) for key, item in given.items()})
    else:
        found = Inputs((given,))
    if not found.tensors() and given != ():
        raise OptionError(
            f"inputs expected tensors or shapes, received {_shortened(given)}. Fix: pass what "
            "forward takes, such as torch.randn(4, 3, 32, 32), or its shape (4, 3, 32, 32)."
        )
    return found


def drawn(inputs: Inputs) -> Inputs:
    """Give tensors on the meta device normal values, and copy the others."""
    generator = torch.Generator().manual_seed(0)

    def real(tensor: Tensor) -> Tensor:
        if tensor.is_meta:
            return torch.randn(tensor.shape, generator=generator).to(tensor.dtype)
        return tensor.detach().clone()

    return Inputs(map_tensors(inputs.args, real), map_tensors(dict(inputs.kwargs), real))


def size_bytes_of(inputs: Inputs) -> int:
    """Return the memory of all input tensors."""
    return sum(item.tensor.numel() * item.tensor.element_size() for item in inputs.tensors())


def _is_shape(value: Any) -> bool:
    return (
        isinstance(value, tuple | list)
        and bool(value)
        and all(isinstance(size, int) and not isinstance(size, bool) for size in value)
    )


def _dtype_of(network: Any) -> torch.dtype:
    parameters = network.parameters() if isinstance(network, nn.Module) else ()
    return next((item.dtype for item in parameters if item.is_floating_point()), torch.float32)


def _with_shapes(value: Any, dtype: torch.dtype) -> Any:
    return _meta(value, dtype) if _is_shape(value) else value


def _meta(shape: Any, dtype: torch.dtype) -> Tensor:
    if min(shape) < 0:
        raise OptionError(f"a shape expected sizes from 0, received {tuple(shape)}.")
    return torch.empty(tuple(shape), dtype=dtype, device="meta")


def _shortened(value: Any) -> str:
    if is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__name__} with {', '.join(item.name for item in fields(value))}"
    text = repr(value)
    return text if len(text) < 60 else f"{type(value).__name__} without any"
