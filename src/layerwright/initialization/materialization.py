"""Give a network that was built on the meta device memory, and see that all of it gets values."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError


@contextmanager
def materialized(network: nn.Module, device: torch.device | str) -> Iterator[list[Tensor]]:
    """Replace tensors on the meta device by real ones, in which the block must write values.

    Tied parameters stay tied; dtypes, strides and `requires_grad` stay; tensors that are on
    another device already are left there. When the block fails, or leaves a tensor unwritten, the
    network is put back on the meta device.

    Args:
        network: a network, or a part of one, that was built under `torch.device("meta")`.
        device: where the memory is.

    Yields:
        The new tensors.

    Raises:
        OptionError: the device is meta itself, or a tensor was not written, because nothing but
            its constructor knows its values.
    """
    if torch.device(device).type == "meta":
        raise OptionError("device expected one with memory, received 'meta'. Fix: device='cpu'.")
    replaced: list[tuple[nn.Module, str, Tensor, str]] = []
    new: dict[int, Tensor] = {}
    for prefix, module in network.named_modules():
        own = [
            *module.named_parameters(recurse=False, remove_duplicate=False),
            *module.named_buffers(recurse=False, remove_duplicate=False),
        ]
        for name, tensor in own:
            if not tensor.is_meta:
                continue
            if id(tensor) not in new:
                new[id(tensor)] = _real(tensor, device)
            setattr(module, name, new[id(tensor)])
            replaced.append((module, name, tensor, f"{prefix}.{name}".lstrip(".")))
    before = {id(tensor): _version(tensor) for tensor in new.values()}
    written = False
    try:
        yield list(new.values())
        now = [(getattr(module, name), place) for module, name, _, place in replaced]
        _refuse_unwritten([place for item, place in now if before.get(id(item)) == _version(item)])
        written = True
    finally:
        if not written:
            for module, name, old, _ in replaced:
                setattr(module, name, old)


def _refuse_unwritten(names: list[str]) -> None:
    if names:
        raise OptionError(
            f"{', '.join(names[:5])} expected values, and only the constructor knows them, which "
            "ran on the meta device. Fix: give the class a reset_parameters method that writes "
            "them, or build this part on the CPU."
        )


def _real(tensor: Tensor, device: torch.device | str) -> Tensor:
    value = torch.empty_like(tensor, device=device)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(value, requires_grad=tensor.requires_grad)
    return value


def _version(tensor: Tensor) -> int:
    return tensor._version  # noqa: SLF001 - torch's documented count of writes has no other name
