"""Parts of a network that training leaves as they are: parameters and running statistics."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from layerwright.training.name_patterns import chosen_by


@dataclass(frozen=True)
class Frozen:
    """What is frozen.

    Attributes:
        parameters: names, as in `named_parameters`.
        num_values: how many numbers they hold.
        statistics: the modules whose buffers are kept, such as batch norms, by their names.
    """

    parameters: tuple[str, ...] = ()
    num_values: int = 0
    statistics: tuple[str, ...] = ()

    def lines(self, network: nn.Module) -> list[str]:
        """Say it in words; nothing where nothing is frozen."""
        if not self.parameters and not self.statistics:
            return []
        total = len(list(network.parameters()))
        kept = f"; running statistics of {', '.join(self.statistics)}" if self.statistics else ""
        count = f"{len(self.parameters)} of {total} parameters"
        return [f"frozen: {count}, {self.num_values:,} values{kept}"]

    def keep_statistics(self, network: nn.Module) -> None:
        """Put the modules in `statistics` into evaluation mode, to be called after `train()`.

        A batch norm then neither updates its running statistics nor looks at its batch's. Dropout
        and all else without buffers stays in training mode.
        """
        for name in self.statistics:
            network.get_submodule(name).training = False


def freeze(network: nn.Module, patterns: Sequence[str]) -> Frozen:
    """Turn off the gradients of the parameters that patterns choose, in place.

    A module with buffers is frozen with its own parameters when all of them are, or, where it has
    none, when a pattern chooses a buffer of it.

    Args:
        network: whose names are meant.
        patterns: see `layerwright.training.name_patterns.matches`.

    Raises:
        OptionError: a pattern matches no parameter and no buffer.
    """
    if not patterns:
        return Frozen()
    parameters = dict(network.named_parameters(remove_duplicate=False))
    buffers = dict(network.named_buffers(remove_duplicate=False))
    chosen = chosen_by("freeze", patterns, [*parameters, *buffers])
    frozen = {id(parameters[name]) for name in chosen if name in parameters}
    statistics = []
    for prefix, module in network.named_modules():
        own = list(module.parameters(recurse=False))
        kept = [f"{prefix}.{name}".lstrip(".") for name, _ in module.named_buffers(recurse=False)]
        whole = all(id(item) in frozen for item in own) if own else any(k in chosen for k in kept)
        if kept and whole:
            statistics.append(prefix)
    names = {name: item for name, item in network.named_parameters() if id(item) in frozen}
    for parameter in names.values():
        parameter.requires_grad_(False)
    num_values = sum(parameter.numel() for parameter in names.values())
    return Frozen(tuple(names), num_values, tuple(statistics))
