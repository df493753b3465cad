"""MOD002 eval-not-transparent."""

from collections.abc import Iterator

import torch
from torch import nn

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.layer_state import remembers
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import Place, place_of_class


@rule(
    "MOD002",
    "eval-not-transparent",
    promise="an evaluation between two training passes changes nothing for the second",
    family="modes",
    needs=("forward", "train_forward", "deterministic"),
    excused_by=("stateful",),
    explains=("MOD005", "MOD006", "GRD008", "TRN001", "TRN006"),
    since="0.1",
)
def eval_not_transparent(probe: Probe) -> Iterator[Finding]:
    """Compares a training pass with one after `eval()`, a call and `train()`, done twice.

    Answers under equal seeds, the training flags of all parts and which parameters require
    gradients are compared.

    ## Why is this bad
    Validation after the first epoch turns dropout off for good, freezes weights or leaves a cache
    behind. Training goes on, with another network, and nothing raises.

    ## Bad
    ```python
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)
            self.dropout = nn.Dropout(0.5)

        def forward(self, x):
            if not self.training:
                self.dropout.p = 0.0
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

        def forward(self, x):
            return self.dropout(self.linear(x))


    case = Case(Block, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Read `self.training` and branch; do not write attributes, flags or `requires_grad` in forward.
    What `train(False)` prepares, `train(True)` must undo.

    ## Limits
    Layers whose answers in eval mode depend on earlier calls, as streams and caches do, are
    skipped: PUR004 and MOD003 judge those.

    ## References
    - https://github.com/NVIDIA/Megatron-LM/pull/411
    - https://github.com/pytorch/pytorch/issues/11999
    """
    if remembers(probe):
        probe.skip("its answers in eval mode depend on the calls before")
    yield from _compared(probe) or _switched(probe)


def _compared(probe: Probe) -> list[Finding]:
    """Compare a training pass with one that comes after two evaluations."""
    plain, evaluated = probe.layer(training=True), probe.layer(training=True)
    grads = _grads(evaluated)
    for _ in range(2):  # what the second evaluation does once more, such as merging weights, shows
        evaluated.eval()
        with torch.no_grad():
            if probe.attempt(lambda: probe.call(evaluated, probe.other_inputs())).raised:
                probe.call(evaluated)
        evaluated.train()
    plain.train()
    flags = _flags(plain)
    changed = [path for path, on in _flags(evaluated).items() if on != flags.get(path, on)]
    frozen = [name for name, on in _grads(evaluated).items() if on != grads.get(name, on)]
    first = probe.attempt(lambda: probe.call(plain))
    second = probe.attempt(lambda: probe.call(evaluated))
    if first.raised:
        return []
    words = second.raised.words if second.raised else difference(first.output, second.output)
    if changed:
        found = f"the flag `training` of {changed[0] or 'the layer'} is another one"
    elif frozen:
        found = f"requires_grad of {', '.join(frozen[:3])} is another one"
    else:
        found = ""
    if not words and not found:
        return []
    place = _place(probe, evaluated, changed)
    return [
        Finding(
            where=", ".join((changed or frozen)[:3]) or "forward after train, eval, train",
            expected="the training pass that came without the evaluation",
            found="; ".join(filter(None, (found, words))),
            fix="do not write attributes or flags in an eval pass; undo in train() what eval() did",
            file=place.file,
            line=place.line,
        )
    ]


def _switched(probe: Probe) -> list[Finding]:
    """Look whether forward itself leaves another mode than it was called in."""
    for training in (False, True):
        layer = probe.layer(training=training)
        before = _flags(layer)
        with torch.no_grad():
            probe.call(layer)
        after = _flags(layer)
        # A part that forward switches to eval mode may be frozen on purpose.
        changed = [
            path
            for path, on in after.items()
            if on != before.get(path, on) and (not training or path == "")
        ]
        if changed:
            place = _place(probe, layer, changed)
            name = changed[0] or "the layer"
            return [
                Finding(
                    where=name,
                    expected=f"training is {training} after a call, as it was before",
                    found=f"forward set training of {name} to {after[changed[0]]}",
                    fix="do not call train() or eval() in forward, or put the old mode back",
                    file=place.file,
                    line=place.line,
                )
            ]
    return []


def _flags(layer: nn.Module) -> dict[str, bool]:
    return {path: module.training for path, module in layer.named_modules()}


def _grads(layer: nn.Module) -> dict[str, bool]:
    return {name: item.requires_grad for name, item in layer.named_parameters()}


def _place(probe: Probe, layer: nn.Module, changed: list[str]) -> Place:
    """Return the forward of the layer, or of the parent of the part whose flag changed."""
    parts = dict(layer.named_modules())
    parent = parts.get(changed[0].rpartition(".")[0], layer) if changed else layer
    place = place_of_class(type(parent).forward)
    return place if place.file else probe.place()
