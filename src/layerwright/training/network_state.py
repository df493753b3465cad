"""What a network holds, as named tensors: copied out, put back, and written without sharing."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.errors import CheckpointError
from layerwright.training.own_parts import own_part, placed_like


def capture(network: nn.Module) -> dict[str, Any]:
    """Copy every parameter and buffer, non-persistent buffers too, and any extra state.

    A copy keeps the strides of its tensor; tied tensors are copied once and stay the same object.
    """
    copies: dict[tuple[Any, ...], Tensor] = {}
    state: dict[str, Any] = {}
    for name, value in _everything(network).items():
        if isinstance(value, Tensor):
            pointer = own_part(value).data_ptr()
            storage = (pointer, value.dtype, value.shape, value.stride())
            if not own_part(value).numel() or storage not in copies:
                copies[storage] = value.detach().clone()
            state[name] = copies[storage]
        else:
            state[name] = value
    return state


def restore(network: nn.Module, state: Mapping[str, Any]) -> None:
    """Put a captured state back, in place, so that optimizers keep their references.

    Raises:
        CheckpointError: names or shapes differ from the network's.
    """
    current = _everything(network)
    missing = [name for name in current if name not in state]
    unexpected = [name for name in state if name not in current]
    if missing or unexpected:
        raise CheckpointError(
            f"the saved state does not fit {type(network).__name__}: "
            f"missing {missing[:5]}, unexpected {unexpected[:5]}. "
            "Fix: use the same network, with the same options, as the run did."
        )
    for name, value in state.items():
        if isinstance(value, Tensor) and value.shape != current[name].shape:
            raise CheckpointError(
                f"the saved state does not fit {type(network).__name__}: {name} expected shape "
                f"{tuple(current[name].shape)}, received {tuple(value.shape)}. "
                "Fix: use the same network, with the same options, as the run did."
            )
    persistent = network.state_dict()
    network.load_state_dict({name: _placed(state[name], persistent[name]) for name in persistent})
    with torch.no_grad():
        for name, value in current.items():
            if name not in persistent:
                value.copy_(state[name])


def non_finite_names(network: nn.Module) -> list[str]:
    """Names of parameters and buffers that hold NaN or infinity."""
    return [
        name
        for name, value in _everything(network).items()
        if isinstance(value, Tensor)
        and (value.is_floating_point() or value.is_complex())
        and not bool(torch.isfinite(own_part(value)).all())
    ]


def _placed(value: Any, example: Any) -> Any:
    return placed_like(value, example) if isinstance(value, Tensor) else value


def _everything(network: nn.Module) -> dict[str, Any]:
    state = dict(network.state_dict())
    for name, buffer in network.named_buffers(remove_duplicate=False):
        state.setdefault(name, buffer)
    return state
