"""PUR002 output-overwritten."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.contract.comparing import difference
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe, detached
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.rules.purity.call_history_dependent import other_values
from layerwright.contract.trees import Named, is_float, named_tensors

_MARK = 1024.0  # nothing that a second call would write


@rule(
    "PUR002",
    "output-overwritten",
    promise="an answer stays as it is when the layer is called again",
    family="purity",
    explains=("PUR003", "PUR004", "MOD002", "BAT001", "BAT003", "GRD010"),
    excused_by=("stateful",),
    since="0.1",
)
def output_overwritten(probe: Probe) -> Iterator[Finding]:
    """Keeps an output, calls the layer with other inputs, and looks at the output again.

    ## Why is this bad
    A layer that returns a workspace of its own overwrites the answer that the caller still holds.
    Two crops that go through one backbone become the same crop, and a list of outputs holds its
    last element many times.

    ## Bad
    ```python
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("out", torch.zeros(4, 3), persistent=False)

        def forward(self, x):
            with torch.no_grad():
                return torch.mul(x, 2.0, out=self.out)


    case = Case(Scale, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Scale(nn.Module):
        def forward(self, x):
            return 2.0 * x


    case = Case(Scale, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Let the operator allocate its result, or return `self.out.clone()`. Torch's allocator reuses
    freed memory by itself, so that a workspace saves little.

    ## Limits
    A registered buffer of which a call changes a part only is taken for a cache that is handed out
    on purpose, and skipped.
    """
    for training in (False, True):
        layer, first = probe.layer(training=training), probe.inputs()
        second = other_values(probe)
        try:
            with torch.set_grad_enabled(training):
                answer = probe.call(layer, first)
                kept = detached(answer)
                probe.call(layer, second)
        except LayerRaised:
            continue
        given = {_memory(item.tensor) for item in first.tensors()}
        for old, new in zip_longest(_outputs(kept), _outputs(answer)):
            if old is None or new is None or _memory(new.tensor) in given:
                continue
            words = difference(old.tensor, new.tensor, exact=True)
            if not words:
                continue
            owner = _owner(layer, new.tensor)
            if owner and _partly(probe, new.name, training=training):
                probe.skip(f"each call stores a part of its buffer {owner}, as a cache does")
            place = probe.place()
            yield Finding(
                where="forward" if old.name == "output" else f"forward, output {old.name}",
                expected="the first answer unchanged after a second call with other inputs",
                found=f"{words}, in {'training' if training else 'eval'} mode"
                + (f"; it is the memory of {owner}" if owner else ""),
                fix="return a new tensor: let the operator allocate its result, or clone it",
                file=place.file,
                line=place.line,
            )
            return


def _outputs(output: Any) -> list[Named]:
    return list(named_tensors(output))


def _owner(layer: nn.Module, tensor: Tensor) -> str | None:
    """Return the name of the parameter or buffer that the tensor is a view of."""
    memory = _memory(tensor)
    for name, item in [*layer.named_parameters(), *layer.named_buffers()]:
        if memory and _memory(item) == memory:
            return name
    return None


def _partly(probe: Probe, name: str, *, training: bool) -> bool:
    """Tell whether a call leaves a part of this output of the call before unwritten."""
    layer = probe.layer(training=training)
    with torch.no_grad():
        answer = probe.call(layer)
        (tensor,) = [item.tensor for item in named_tensors(answer) if item.name == name]
        mark = tensor.detach().fill_(_MARK if is_float(tensor) else 1)
        probe.call(layer, other_values(probe))
    return is_float(tensor) and bool((mark == _MARK).any())


def _memory(tensor: Tensor) -> int:
    """Return the address of the tensor's memory; 0 where it has none of the usual kind."""
    return tensor.untyped_storage().data_ptr() if tensor.layout == torch.strided else 0
