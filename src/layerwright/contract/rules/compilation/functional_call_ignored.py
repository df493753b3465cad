"""CMP007 functional-call-ignored."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from layerwright.contract.comparing import difference
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe, detached
from layerwright.contract.rule import LayerRaised, Skip, rule
from layerwright.contract.source import place_of_attribute
from layerwright.contract.trees import is_float
from layerwright.random_numbers import seed_all


@rule(
    "CMP007",
    "functional-call-ignored",
    promise="torch.func.functional_call replaces every parameter and buffer",
    family="compilation",
    severity="warning",
    needs=("forward", "deterministic"),
    explains=("DST002",),
    since="0.1",
)
def functional_call_ignored(probe: Probe) -> Iterator[Finding]:
    """Fills the layer's own parameters with NaN, and calls it with the true ones beside it.

    ## Why is this bad
    `torch.func.functional_call` computes with parameters that are handed over: ensembles,
    per-sample gradients and meta-learning rest on it. What forward takes from anywhere else than
    `self.name`, at the time of the call, is the old value, and nothing raises.

    ## Bad
    ```python
    class Frequencies(nn.Module):
        def __init__(self):
            super().__init__()
            self.frequencies = nn.Parameter(torch.rand(3))
            self.tables = (self.frequencies.data,)

        def forward(self, x):
            return x * torch.stack(self.tables).sum(0) + self.frequencies


    case = Case(Frequencies, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Frequencies(nn.Module):
        def __init__(self):
            super().__init__()
            self.frequencies = nn.Parameter(torch.rand(3))

        def forward(self, x):
            return x * self.frequencies + self.frequencies


    case = Case(Frequencies, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Read parameters and buffers as `self.name` inside forward. Keep no view, list or closure of
    them.

    ## Limits
    Floating-point parameters and buffers are replaced, in eval mode. Where torch refuses to replace
    them, as in scripted modules, nothing is judged.

    ## References
    - https://pytorch.org/docs/stable/generated/torch.func.functional_call.html
    """
    words = _effect(probe, _poison_all)
    if words is None:
        return
    if _effect(probe, lambda _: False) is not None:
        probe.skip("functional_call with the layer's own state already gives other answers")
    # One at a time, on a layer of its own each, to name those that matter.
    names = [name for name in _state(_instance(probe)) if _effect(probe, name.__eq__)]
    if not names:
        probe.skip("no single parameter or buffer tells why functional_call gives other answers")
    path, _, attribute = names[0].rpartition(".")
    place = place_of_attribute(probe.subject.layer.get_submodule(path), attribute)
    more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    yield Finding(
        where=f"{names[0]}{more}",
        expected="the answer of the parameters that are handed over",
        found=f"with NaN in the layer's own {names[0]}, {words}",
        fix="read it as an attribute of self inside forward; keep no view, list or closure of it",
        file=place.file,
        line=place.line,
    )


def _poison_all(name: str) -> bool:
    del name
    return True


def _instance(probe: Probe) -> nn.Module:
    """Return a layer whose views and closures are its own: a copy cuts them."""
    try:
        return probe.rebuild()
    except Skip:
        return probe.layer()


def _state(layer: nn.Module) -> dict[str, Tensor]:
    return {
        name: tensor
        for name, tensor in [*layer.named_parameters(), *layer.named_buffers()]
        if is_float(tensor) and tensor.layout == torch.strided
    }


def _effect(probe: Probe, poisons: Callable[[str], bool]) -> str | None:
    """Poison parts of a layer; tell what that does to a call with the true state."""
    layer, given = _instance(probe), probe.inputs()
    own = _state(layer)
    state = {name: tensor.detach().clone() for name, tensor in own.items()}
    with torch.no_grad():
        expected = detached(probe.call(layer))
        for name, tensor in own.items():
            if poisons(name):
                tensor.detach().fill_(float("nan"))
        seed_all(probe.seed)
        try:
            output = torch.func.functional_call(layer, state, given.args, dict(given.kwargs))
        except Exception as error:
            raise LayerRaised(error) from error
    return difference(expected, output)
