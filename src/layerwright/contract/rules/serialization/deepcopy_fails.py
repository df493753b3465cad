"""SER002 deepcopy-fails."""

import copy
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from layerwright.contract.evidence.refusals import (
    in_words,
    refusals,
    tensors_with_graph,
)
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import place_of_attribute
from layerwright.contract.trees import named_tensors


@rule(
    "SER002",
    "deepcopy-fails",
    promise="copy.deepcopy copies the layer, also after it was trained",
    family="serialization",
    needs=(),
    explains=("SER001", "NET001"),
    since="0.1",
)
def deepcopy_fails(probe: Probe) -> Iterator[Finding]:
    """Copies the layer as it is, and again after a training pass.

    ## Why is this bad
    Averaged weights (EMA, SWA), `nn.TransformerEncoder`, quantisation and most search tools copy
    layers with `copy.deepcopy`.

    ## Bad
    ```python
    class Alternate(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))
            self.functional = torch.nn.functional

        def forward(self, x):
            return self.functional.relu(x) * self.scale


    case = Case(Alternate, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Alternate(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return torch.nn.functional.relu(x) * self.scale


    case = Case(Alternate, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Keep modules, locks, files and generators off `self`; call `.detach()` before a tensor of a
    forward pass is stored; or write a `__deepcopy__`.

    ## Limits
    A number with a graph, as an auxiliary loss on `self`, and weights that a hook computes anew
    before each call (`torch.nn.utils.weight_norm`) are passed over. Lazy layers are not judged:
    torch cannot copy them before their first call.

    ## References
    - https://github.com/pytorch/pytorch/issues/54580: a stored activation
    """
    given = probe.subject.layer
    if any(map(is_lazy, [*given.parameters(), *given.buffers()])):
        probe.skip("it takes its shapes from the first call, before which torch cannot copy it")
    try:
        layer = probe.layer()
    except Exception:  # noqa: BLE001 - a copy of the copy may be what is refused
        layer = given
    found = list(_refused(layer, "as it was built")) or list(_lost(probe))
    if not found and probe.subject.inputs is not None and not probe.train_attempt.raised:
        used = probe.layer(training=True)
        inputs = probe.inputs().requiring_grad()
        output = probe.call(used, inputs)
        if any(item.tensor.requires_grad for item in named_tensors(output)):
            probe.attempt(lambda: probe.gradients_of(used, inputs, output))
        found = list(_refused(used, "after a training pass"))
    yield from found


def _lost(probe: Probe) -> Iterator[Finding]:
    """Find an attribute that a copy lacks, and that its forward asks for."""
    given = probe.subject.original
    original = probe.subject.layer if given is None else given
    raised = probe.eval_attempt.raised if probe.subject.inputs is not None else None
    if raised is None or not isinstance(raised.error, AttributeError):
        return
    parts = dict(copy.deepcopy(original).named_modules())
    for path, module in original.named_modules():
        lost = vars(module).keys() - vars(parts.get(path, module)).keys()
        for name in sorted(name for name in lost if f"'{name}'" in str(raised.error)):
            place = place_of_attribute(module, name)
            yield Finding(
                where=f"{path}.{name}" if path else name,
                expected="a copy that has all that forward reads",
                found=f"the copy lacks it, and forward raises {raised.words}",
                fix="let __getstate__ keep it, or let __setstate__ make it again",
                file=place.file,
                line=place.line,
            )


def _refused(layer: nn.Module, when: str) -> Iterator[Finding]:
    spared = _spared(layer)
    try:
        copy.deepcopy(layer, dict(spared))
    except Exception as error:  # noqa: BLE001 - what a user's object raises when it is copied
        culprits = list(refusals(layer, lambda value: copy.deepcopy(value, dict(spared))))
        for refusal in culprits[:3]:
            place = place_of_attribute(refusal.held.module, refusal.held.attribute)
            yield Finding(
                where=refusal.held.name,
                expected=f"copy.deepcopy copies the layer {when}",
                found=refusal.words,
                fix=(
                    "store the tensor with .detach(), or return it instead"
                    if isinstance(refusal.held.value, Tensor)
                    else "keep it off self, or leave it out in a __deepcopy__ or __getstate__"
                ),
                file=place.file,
                line=place.line,
            )
        if not culprits:
            place = place_of_attribute(layer, "__deepcopy__")
            yield Finding(
                where=type(layer).__qualname__,
                expected=f"copy.deepcopy copies the layer {when}",
                found=in_words(error),
                fix="let __deepcopy__ or __getstate__ return a layer of its own",
                file=place.file,
                line=place.line,
            )


def _spared(layer: nn.Module) -> dict[int, Any]:
    """Return a memo with the tensors that may refuse: those of hooks, and numbers with a graph."""
    told = {id(held.value) for held in tensors_with_graph(layer) if held.value.numel() > 1}
    return {
        id(value): value
        for module in layer.modules()
        for value in _tensors(vars(module))
        if value.grad_fn is not None and id(value) not in told
    }


def _tensors(values: dict[str, Any]) -> list[Tensor]:
    return [item.tensor for item in named_tensors(list(values.values()))]
