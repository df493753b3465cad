"""REG005 untied-weights."""

from collections.abc import Iterator
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import place_of_attribute

_MOST = 1_000_000  # positions of memory that are compared one by one


@rule(
    "REG005",
    "untied-weights",
    promise="tied weights are one parameter, not two that share memory",
    family="registration",
    needs=(),
    explains=("SER002", "SER004", "CMP007", "TRN005"),
    since="0.1",
)
def untied_weights(probe: Probe) -> Iterator[Finding]:
    """Looks for parameters that are different objects and overlap in memory.

    ## Why is this bad
    `a.weight.data = b.weight.data` ties two parameters until somebody moves, casts or copies the
    layer; then each gets memory of its own, and they drift apart without a word. Until then an
    optimizer updates the same memory twice a step, each time with half of the gradient.

    ## Bad
    ```python
    class Autoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode = nn.Linear(4, 4)
            self.decode = nn.Linear(4, 4)
            self.decode.weight.data = self.encode.weight.data

        def forward(self, x):
            return self.decode(self.encode(x).tanh())


    case = Case(Autoencoder, inputs=(torch.randn(5, 4),))
    ```

    ## Good
    ```python
    class Autoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode = nn.Linear(4, 4)
            self.decode = nn.Linear(4, 4)
            self.decode.weight = self.encode.weight

        def forward(self, x):
            return self.decode(self.encode(x).tanh())


    case = Case(Autoencoder, inputs=(torch.randn(5, 4),))
    ```

    ## How to fix
    Assign the parameter itself: `self.decode.weight = self.encode.weight`. For a transposed tie
    keep one parameter and write `F.linear(x, self.encode.weight.t())`.

    ## Limits
    Two parameters that lie side by side in one memory block, as flattened weights do, are fine.
    """
    source = probe.subject.source
    layer = source if isinstance(source, nn.Module) else probe.subject.layer
    parameters = [
        (module, f"{path}.{name}" if path else name, name, item)
        for path, module in layer.named_modules()
        for name, item in module._parameters.items()  # noqa: SLF001 - its own ones, with ties
        if item is not None and not is_lazy(item) and item.numel() > 0
    ]
    copied = dict(probe.layer().named_parameters(remove_duplicate=False))
    reported: set[int] = set()
    for (_, first, _, one), (module, second, attribute, other) in combinations(parameters, 2):
        if one is other or id(other) in reported or not (one.requires_grad or other.requires_grad):
            continue
        if not _overlap(one, other):
            continue
        reported.add(id(other))
        apart = first in copied and not _overlap(copied[first], copied[second])
        place = place_of_attribute(module, attribute)
        yield Finding(
            where=second,
            expected=f"one parameter under both names, {first} and {second}",
            found=f"two parameters of {one.numel()} and {other.numel()} values in the same memory"
            + ("; in a copy.deepcopy they have memory of their own" if apart else ""),
            fix=f"assign the parameter, not its data: {second} = {first}",
            file=place.file,
            line=place.line,
        )


def _overlap(one: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors share any position of memory."""
    try:
        if one.untyped_storage().data_ptr() != other.untyped_storage().data_ptr():
            return False
        if one.is_meta or one.untyped_storage().nbytes() == 0:
            return False
    except (NotImplementedError, RuntimeError, ValueError):  # sparse, or not materialised
        return False
    if one.dtype != other.dtype or one.data_ptr() == other.data_ptr():
        return one.data_ptr() == other.data_ptr()
    positions = one.untyped_storage().nbytes() // one.element_size()
    if positions > _MOST:
        return False
    touched = torch.zeros(positions, dtype=torch.bool)
    touched.as_strided(one.shape, one.stride(), one.storage_offset()).fill_(value=True)
    return bool(touched.as_strided(other.shape, other.stride(), other.storage_offset()).any())
