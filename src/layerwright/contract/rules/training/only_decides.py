"""TRN003 only-decides."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from layerwright.contract.evidence.attributes import held_outside
from layerwright.contract.evidence.gradient_cuts import path_of
from layerwright.contract.evidence.named_parameters import parameters_by_name
from layerwright.contract.evidence.usage import only_effective_parameters, place_of_part
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import Place, place_of_call
from layerwright.contract.torch_compat.graph import leaves_of
from layerwright.contract.trees import is_float, named_tensors

_MOST = 3
_AS_NUMBER = ("item", "tolist")  # cuts that leave a number of Python: an index, say


@rule(
    "TRN003",
    "only-decides",
    promise="a gradient reaches every trained parameter that the output depends on",
    family="training",
    severity="warning",
    needs=("train_forward", "parameters", "deterministic", "float_outputs"),
    explains=("DST001", "INI006"),
    excused_by=("stops_gradient",),
    since="0.1",
)
def only_decides(probe: Probe) -> Iterator[Finding]:
    """Looks for parameters of which only a choice reaches the output: an index, a comparison.

    ## Why is this bad
    `argmax`, `topk(...).indices` and `score > 0` have no gradient. A router or a gate of which
    nothing else is used stays as it was drawn at the start, and the network learns around it.

    ## Bad
    ```python
    class Routed(nn.Module):
        def __init__(self):
            super().__init__()
            self.router = nn.Linear(6, 3)
            self.experts = nn.Parameter(torch.randn(3, 6, 6) * 0.4)

        def forward(self, x):
            chosen = self.router(x).argmax(-1)
            return torch.einsum("ni,nij->nj", x, self.experts[chosen])


    case = Case(Routed, inputs=(torch.randn(16, 6),))
    ```

    ## Good
    ```python
    class Routed(nn.Module):
        def __init__(self):
            super().__init__()
            self.router = nn.Linear(6, 3)
            self.experts = nn.Parameter(torch.randn(3, 6, 6) * 0.4)

        def forward(self, x):
            weight, chosen = self.router(x).softmax(-1).max(-1)
            return weight[:, None] * torch.einsum("ni,nij->nj", x, self.experts[chosen])


    case = Case(Routed, inputs=(torch.randn(16, 6),))
    ```

    ## How to fix
    Let the score itself take part: multiply by the weight of what was chosen, use a sigmoid or a
    softmax, or pass a gradient straight through: `hard + soft - soft.detach()`. A projection that
    is meant to stay random is a buffer, or has `requires_grad=False`.

    ## Limits
    A parameter that forward itself updates, as codebooks are, and one that is cut by `.detach()`
    or `torch.no_grad()` is passed over, and so is one that a loss or score reaches that the layer
    returns or keeps. GRD008 judges parameters that the output follows in small steps.

    ## References
    - Fedus et al. 2022, "Switch Transformers", section 2.1: why the output is multiplied by the
      router's probability. https://arxiv.org/abs/2101.03961
    """
    traits = probe.traits
    names = [
        name
        for name in only_effective_parameters(probe)
        if not (traits.may_be_frozen(name) or traits.may_be_unused(name))
    ]
    reasons = []
    for name in names[:_MOST]:
        path = path_of(probe, name)
        cut = any(item.kind not in _AS_NUMBER for item in path.cuts)
        decision = None if path.lost or cut else _decision(probe, name)
        if decision is None:
            reasons.append(f"{name} gets no gradient, but not because of a choice")
            continue
        place = decision if decision.file else place_of_part(probe.subject.layer, name)
        yield Finding(
            where=name,
            expected="a gradient: the output changes with its values",
            found=f"no gradient: only a choice is made of it ({place.text or 'in forward'})",
            fix="let the score itself reach the output, or set requires_grad_(False) if it is not "
            "to be trained",
            file=place.file,
            line=place.line,
        )
    if reasons:
        probe.skip(reasons[0])


def _decision(probe: Probe, name: str) -> Place | None:
    """Return where the parameter turns into indices or truth values.

    None if forward updates the parameter, or keeps a tensor that could send it a gradient.
    """
    layer = probe.layer(training=True)
    for other, item in layer.named_parameters():
        item.requires_grad_(other == name)
    parameter = parameters_by_name(layer)[name]
    before = parameter.detach().clone()
    with _Decisions() as decisions:
        probe.call(layer)
    kept = [held.value for held in held_outside(layer) if isinstance(held.value, Tensor)]
    trained = any(leaf is parameter for leaf in leaves_of(kept))
    if trained or not torch.equal(before, parameter.detach()) or not decisions.places:
        return None
    return decisions.places[0]


_READS = {"item", "tolist", "__int__", "__index__", "__bool__", "__float__"}


class _Decisions(TorchFunctionMode):
    """Notes calls that make whole or truth values, or Python's numbers, of what has a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[Place] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        output = func(*args, **(kwargs or {}))
        made = [item.tensor for item in named_tensors(output)]
        discrete = [item for item in made if not is_float(item)]
        # Numbers of Python that change the output in steps; GRD008 knows those it follows.
        read = getattr(func, "__name__", "") in _READS
        if (discrete or read) and any(
            _in_graph(item) for item in (*args, *(kwargs or {}).values())
        ):
            self.places.append(place_of_call())
        return output


def _in_graph(value: Any) -> bool:
    return any(item.tensor.requires_grad for item in named_tensors(value))
