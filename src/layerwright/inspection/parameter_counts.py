"""Count a network's parameters, those that are shared once."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter


@dataclass(frozen=True)
class ParameterCounts:
    """How many values the parameters hold.

    Attributes:
        num_trainable: values that require a gradient.
        num_frozen: the others.
        num_bytes: memory of both.
        shared: names of parameters that are one and the same, in groups.
        unknown: names of parameters whose shape the first call decides.
    """

    num_trainable: int
    num_frozen: int
    num_bytes: int
    shared: tuple[tuple[str, ...], ...]
    unknown: tuple[str, ...]

    @property
    def num_values(self) -> int:
        """Trainable and frozen ones."""
        return self.num_trainable + self.num_frozen


def counts_of(network: nn.Module) -> ParameterCounts:
    """Count the parameters of a network and of all its parts, each once."""
    names: dict[int, list[str]] = {}
    found: dict[int, Tensor] = {}
    for name, item in network.named_parameters(remove_duplicate=False):
        names.setdefault(id(item), []).append(name)
        found[id(item)] = item
    # A module that is registered twice has its parameters under two names, and shares nothing.
    own = {id(item): 0 for item in found.values()}
    for module in network.modules():
        for item in module.parameters(recurse=False):
            own[id(item)] += 1
    known = [item for item in found.values() if not isinstance(item, UninitializedParameter)]
    return ParameterCounts(
        num_trainable=sum(item.numel() for item in known if item.requires_grad),
        num_frozen=sum(item.numel() for item in known if not item.requires_grad),
        num_bytes=memory_bytes_of(known),
        shared=tuple(tuple(names[key]) for key, count in own.items() if count > 1),
        unknown=tuple(
            names[key][0] for key, item in found.items() if isinstance(item, UninitializedParameter)
        ),
    )


def memory_bytes_of(tensors: Iterable[Tensor]) -> int:
    """Return the memory of tensors, each counted once; those without a shape yet are left out."""
    lazy = UninitializedParameter | UninitializedBuffer
    each = {id(item): item for item in tensors if not isinstance(item, lazy)}
    return sum(item.numel() * item.element_size() for item in each.values())
