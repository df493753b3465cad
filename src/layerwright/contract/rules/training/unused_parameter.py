"""TRN001 unused-parameter."""

import functools
from collections.abc import Iterator

from layerwright.contract.evidence.mentions import may_read
from layerwright.contract.evidence.usage import (
    parameters_asked_for,
    parts_that_may_run,
    parts_that_ran,
    place_of_part,
    silent_part,
    unread_parameters,
)
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule


@rule(
    "TRN001",
    "unused-parameter",
    promise="every trained parameter takes part in forward",
    family="training",
    needs=("train_forward", "parameters", "deterministic", "float_outputs"),
    explains=("DST001", "INI006"),
    since="0.1",
)
def unused_parameter(probe: Probe) -> Iterator[Finding]:
    """Looks for parameters that get no gradient and whose values change nothing.

    ## Why is this bad
    The parameter is counted, saved and handed to the optimizer, and the layer does not have what
    its author believes it has. DistributedDataParallel waits for its gradient and raises in the
    second step.

    ## Bad
    ```python
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.rand(3) + 0.5)
            self.shift = nn.Parameter(torch.rand(3))

        def forward(self, x):
            return x * self.scale


    case = Case(Scaled, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.rand(3) + 0.5)
            self.shift = nn.Parameter(torch.rand(3))

        def forward(self, x):
            return x * self.scale + self.shift


    case = Case(Scaled, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Use the parameter in forward, or delete it. One that is unused on purpose is named by the trait
    `unused_parameters`.

    ## Limits
    An error is a parameter that no method but constructors reads: no input can bring it into use.
    One that runs while its result is dropped is a warning, and so is a member of a container whose
    other members run, whatever numbers and inputs forward is given and whatever the parameters are.
    One that a method reads on a branch that these inputs do not take is passed over. NET002 tells
    of whole parts.

    ## References
    - https://github.com/pytorch/pytorch/issues/57776
    - https://github.com/pytorch/pytorch/issues/43259
    - https://github.com/ultralytics/ultralytics/issues/5821
    """
    names = [name for name in unread_parameters(probe) if not probe.traits.may_be_unused(name)]
    if not names:
        return
    ran = parts_that_ran(probe)
    layer = probe.subject.layer
    chosen: set[str] | None = None
    asked = functools.cache(lambda: parameters_asked_for(probe))  # runs the layer: where it matters
    reasons = []
    for name in names:
        silent = silent_part(layer, name, ran)
        read = may_read(layer, silent or name)
        if read and silent and not _beside_others(silent, ran):
            reasons.append(f"{name} is read on a branch that these inputs do not take")
            continue
        if read and silent:
            chosen = parts_that_may_run(probe) if chosen is None else chosen
            if any(f"{part}.".startswith(f"{silent}.") for part in chosen):
                reasons.append(f"{name} is used with other arguments, inputs or parameters")
                continue
        if read and not silent and name not in asked():
            reasons.append(f"{name} is read on a branch that these inputs do not take")
            continue
        owner, _, own = name.rpartition(".")
        if not read:
            why = "it is set and never read"
        elif silent:
            why = f"{silent} never runs, others beside it do"
        else:
            why = f"{owner or 'forward'} runs, and what it makes of it reaches no output"
        place = place_of_part(layer, name)
        yield Finding(
            where=name,
            expected="a gradient, and an output that depends on it",
            found=f"no gradient and no effect, in eval and training mode: {why}",
            fix=f"use {own} in forward, or delete it",
            severity="warning" if read else "error",
            file=place.file,
            line=place.line,
        )
    if len(reasons) == len(names):
        probe.skip(reasons[0])


def _beside_others(path: str, ran: set[str]) -> bool:
    """Tell whether a part is a numbered member of a container of which other members run."""
    names = path.split(".")
    for depth, name in enumerate(names):
        if name.isdigit():
            start = ".".join(names[:depth])
            beside = [
                other.removeprefix(f"{start}." if start else "").split(".")[0]
                for other in ran
                if other.startswith(f"{start}." if start else "")
            ]
            if name not in beside and any(item.isdigit() for item in beside):
                return True
    return False
