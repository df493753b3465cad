"""GRD008 parameter-cut."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from layerwright.contract.comparing import number
from layerwright.contract.evidence.gradient_cuts import Path, all_cuts, path_of
from layerwright.contract.evidence.gradient_passes import widest
from layerwright.contract.evidence.graph_exits import REMEDIES, Cut, words_of
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import Skip, rule
from layerwright.contract.source import place_of_attribute

_MOST = 8  # parameters that are looked at closely


@rule(
    "GRD008",
    "parameter-cut",
    promise="a trained parameter that changes the output gets a gradient",
    family="gradients",
    needs=("train_forward", "parameters", "deterministic", "float_outputs"),
    explains=("TRN001", "TRN002", "DST001", "INI006"),
    excused_by=("stops_gradient",),
    since="0.1",
)
def parameter_cut(probe: Probe) -> Iterator[Finding]:
    """Moves each parameter that gets no gradient a little, and looks whether the output follows.

    If it does, the forward pass is run again with only that parameter in the graph, and the call
    that leaves the graph is the fault.

    ## Why is this bad
    The parameter is listed, saved and counted, but never learns: `.data`, numpy, `.item()` and
    `nn.Parameter(...)` inside forward all end the graph without a word.

    ## Bad
    ```python
    class Gain(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.rand(3) + 0.5)

        def forward(self, x):
            return x * self.gain.data


    case = Case(Gain, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Gain(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.rand(3) + 0.5)

        def forward(self, x):
            return x * self.gain


    case = Case(Gain, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Use the parameter itself in tensor operators. One that is not trained by gradients is a buffer,
    or has `requires_grad=False`; `.detach()` and `torch.no_grad()` say that a cut is on purpose.

    ## Limits
    A forward that writes the parameter (moving averages) is taken for purpose. So are `.detach()`
    and `torch.no_grad()` where only a part of the gradient is lost; where all of it is lost, they
    give a warning, for a parameter that is frozen says so with `requires_grad_(False)`. When an
    accident loses a part of the gradient this is a warning too.
    """
    found = _gradients(probe)
    names = [
        name
        for name, item in probe.layer().named_parameters()
        if item.requires_grad and item.numel() and not probe.traits.may_be_frozen(name)
    ]
    cut = [name for name in names if (grad := found.get(name)) is None or not bool(grad.any())]
    rest: list[str] = []
    if any(item.kind in REMEDIES for item in all_cuts(probe)):
        rest = [name for name in names if name not in cut]
    written = _written(probe) if cut or rest else set()
    reasons = []
    left_out: dict[Cut, list[str]] = {}
    for name in [*cut[:_MOST], *rest[:_MOST]]:
        path = path_of(probe, name)
        if not path.lost:
            continue
        if name in written:
            reasons.append(f"forward itself updates {name}")
        elif path.purpose and path.total:
            left_out.setdefault(path.purpose, []).append(name)
        elif path.purpose:
            reasons.append(f"{name} is cut on purpose: {words_of(path.purpose)}")
        elif path.accident and (path.total or path.accident.kind in REMEDIES):
            yield _finding(probe, name, path)
        else:
            reasons.append(f"{name} gets no gradient, and no cut was seen")
    for purpose, left in left_out.items():
        yield _left_out(left, purpose)
    if reasons:
        probe.skip(reasons[0])


def _gradients(probe: Probe) -> Mapping[str, Tensor | None]:
    """Return the gradients of the parameters; empty if nothing is in the graph."""
    try:
        attempt = probe.attempt(lambda: probe.gradients)
    except Skip:
        return {}
    if attempt.raised:  # a target that bears no gradient
        return widest(probe, training=True)[2].parameters
    return dict(attempt.output.parameters)


def _left_out(names: list[str], purpose: Cut) -> Finding:
    """Report parameters that nothing can train, although they say that they are trained."""
    which = ", ".join(names)
    return Finding(
        where=which,
        expected="a gradient: the output follows when the values move a little",
        found=f"no gradient: {words_of(purpose)}, and {which} "
        f"{'requires' if len(names) == 1 else 'require'} gradients",
        fix=f"requires_grad_(False) for {which} if that is meant; else take the cut out",
        severity="warning",
        file=purpose.place.file,
        line=purpose.place.line,
    )


def _finding(probe: Probe, name: str, path: Path) -> Finding:
    cut = path.accident
    place = cut.place if cut else probe.place()
    if place.file is None:
        owner, _, own = name.rpartition(".")
        place = place_of_attribute(probe.subject.layer.get_submodule(owner), own)
    return Finding(
        where=name,
        expected=f"a slope of {number(path.numeric.value)} along a random direction",
        found=(
            f"{'no gradient' if path.total else f'a gradient with slope {number(path.analytic)}'}: "
            f"{words_of(cut)}"
        ),
        fix=REMEDIES.get(cut.kind if cut else "", "use the parameter itself in tensor operators"),
        severity="error" if path.total else "warning",
        file=place.file,
        line=place.line,
    )


def _written(probe: Probe) -> set[str]:
    """Return the parameters that a forward pass in training mode changes."""
    layer = probe.layer(training=True)
    before = {name: item.detach().clone() for name, item in layer.named_parameters()}
    probe.attempt(lambda: probe.call(layer))
    return {
        name
        for name, item in layer.named_parameters()
        if name in before and not torch.equal(before[name], item.detach())
    }
