"""PUR003 output-aliases-state."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.contract.comparing import difference
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe, detached
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.trees import Named, is_float, named_tensors


@rule(
    "PUR003",
    "output-aliases-state",
    promise="who writes into an answer changes no later answer",
    family="purity",
    severity="warning",
    needs=("forward", "deterministic"),
    explains=("PUR004",),
    excused_by=("stateful",),
    since="0.1",
)
def output_aliases_state(probe: Probe) -> Iterator[Finding]:
    """Adds one to an output in place, and calls the layer again with the same inputs.

    ## Why is this bad
    The output is memory that the layer goes on using: a result that it keeps for later, or a row
    of its weights. The in-place activation that follows changes the layer itself, and from then on
    the same input has another answer.

    ## Bad
    ```python
    class Prototype(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("prototypes", torch.randn(4, 8))

        def forward(self, scores):
            return self.prototypes[int(scores.argmax())]


    case = Case(Prototype, inputs=(torch.tensor([0.3, 0.9, 0.1, 0.2]),))
    ```

    ## Good
    ```python
    class Prototype(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("prototypes", torch.randn(4, 8))

        def forward(self, scores):
            return self.prototypes.index_select(0, scores.argmax()[None])[0]


    case = Case(Prototype, inputs=(torch.tensor([0.3, 0.9, 0.1, 0.2]),))
    ```

    ## How to fix
    Return a copy: `.clone()`, or `index_select` with an index that is a tensor, which copies.

    ## Limits
    An output that does not depend on the values of the inputs, as a table of positions, is handed
    out on purpose more often than not: it is only noted. A layer whose answers depend on earlier
    calls anyway is skipped, and so is one that hands out a buffer into which its calls write.
    """
    layer = probe.layer()
    try:
        with torch.no_grad():
            probe.call(layer)
            control = detached(probe.call(layer))
            words = difference(probe.eval_output, control)
            if words:
                probe.skip("its answers depend on earlier calls")
            found = _breach(probe, control)
            if found is None:
                return
            name, words, owner = found
            if owner is not None and _written_by_call(probe, owner):
                probe.skip(f"each call writes into {owner}, which it hands out, as a cache does")
            table = not _depends_on_inputs(probe, control, name)
    except LayerRaised as raised:
        probe.skip(f"calling it again raised {raised.words}")
    place = probe.place()
    yield Finding(
        where="forward" if name == "output" else f"forward, output {name}",
        expected="the same answer to the same inputs, whatever the caller did to the first answer",
        found=f"after the caller had added 1 to the first answer: {words}; "
        f"the answer is memory of {owner or 'an attribute of the layer'}",
        fix="return a copy: .clone()",
        severity="note" if table else None,
        file=place.file,
        line=place.line,
    )


def _breach(probe: Probe, control: Any) -> tuple[str, str, str | None] | None:
    """Return the output that carries a write back, what it did, and the state that it is part of.

    Only outputs that lie in the memory of parameters, buffers or kept tensors can.
    """
    layer, inputs = probe.layer(), probe.inputs()
    answer = probe.call(layer, inputs)
    given = {_memory(item.tensor) for item in inputs.tensors()}
    for place, item in enumerate(list(named_tensors(answer))):
        if _memory(item.tensor) in given or not is_float(item.tensor):
            continue
        if place:  # one output at a time, on a layer that nobody has written to
            layer = probe.layer()
            item = _outputs(probe.call(layer))[place]  # noqa: PLW2901
        owner = _owner(layer, item.tensor)
        try:
            item.tensor.add_(1.0)
        except RuntimeError:  # expanded or sparse memory refuses: nobody can write into it
            continue
        words = difference(control, probe.call(layer))
        if words:
            return item.name, words, owner
    return None


def _written_by_call(probe: Probe, owner: str) -> bool:
    """Tell whether a call in eval mode changes a parameter or buffer."""
    layer = probe.layer()
    before = dict([*layer.named_parameters(), *layer.named_buffers()])[owner].detach().clone()
    probe.call(layer)
    after = dict([*layer.named_parameters(), *layer.named_buffers()])[owner]
    return difference(before, after, exact=True) is not None


def _outputs(output: Any) -> list[Named]:
    return list(named_tensors(output))


def _pick(output: Any, name: str) -> list[Tensor]:
    return [item.tensor for item in named_tensors(output) if item.name == name]


def _depends_on_inputs(probe: Probe, control: Any, name: str) -> bool:
    """Tell whether other inputs give another output of this name."""
    for change in (lambda tensor: 0.5 * tensor, torch.neg, torch.zeros_like):
        other = probe.attempt(
            lambda change=change: probe.call(  # type: ignore[misc]
                probe.layer(), probe.other_inputs().map_floats(change)
            )
        )
        if other.raised is None and difference(_pick(control, name), _pick(other.output, name)):
            return True
    return False


def _owner(layer: nn.Module, tensor: Tensor) -> str | None:
    """Return the name of the parameter or buffer that the tensor is a view of."""
    memory = _memory(tensor)
    for name, item in [*layer.named_parameters(), *layer.named_buffers()]:
        if memory and _memory(item) == memory:
            return name
    return None


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr() if tensor.layout == torch.strided else 0
