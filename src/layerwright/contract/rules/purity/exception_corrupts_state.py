"""PUR010 exception-corrupts-state."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.contract.comparing import difference
from layerwright.contract.finding import Finding
from layerwright.contract.isolation import global_state, isolated
from layerwright.contract.probe import Probe, detached
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.trees import Inputs, is_float


@rule(
    "PUR010",
    "exception-corrupts-state",
    promise="a call that raises leaves the layer and the process as they were",
    family="purity",
    needs=("forward", "deterministic"),
    excused_by=("stateful",),
    since="0.1",
)
def exception_corrupts_state(probe: Probe) -> Iterator[Finding]:
    """Calls the layer with inputs that it refuses, and then with the good ones.

    Inputs of wrong sizes and dtypes make it raise at different places. Compared are the answer to
    the example inputs, the flags of all parts, and torch's switches.

    ## Why is this bad
    A batch of the wrong shape or a lack of memory is caught, and the run goes on. A layer that had
    changed a weight, a flag or a switch for the time of the call, and did not come to the line that
    puts it back, computes something else from then on.

    ## Bad
    ```python
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x):
            self.linear.weight.data.mul_(2.0)
            y = self.linear(x)
            self.linear.weight.data.div_(2.0)
            return y


    case = Case(Scaled, inputs=(torch.randn(4, 8),))
    ```

    ## Good
    ```python
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x):
            return F.linear(x, 2.0 * self.linear.weight, self.linear.bias)


    case = Case(Scaled, inputs=(torch.randn(4, 8),))
    ```

    ## How to fix
    Compute with a changed copy instead of changing and restoring; where something must be changed,
    restore it in `finally:` or with a context manager.

    ## Limits
    Only exceptions that the inputs provoke are tried, after a good call that fills caches. A layer
    whose answers depend on earlier calls anyway is skipped, and so is one that takes every input
    that is tried.
    """
    with torch.no_grad():
        layer = probe.layer()
        probe.call(layer)
        if difference(probe.eval_output, probe.call(layer)):
            probe.skip("its answers depend on earlier calls")
        raised_once = False
        for training in (False, True):
            for words, bad in _refused(probe):
                with isolated(probe.subject.layer):
                    raised, change = _after(probe, bad, training=training)
                raised_once = raised_once or raised is not None
                if raised is None or change is None:
                    continue
                yield Finding(
                    where="forward after a call that raised",
                    expected="answers, flags and switches as before that call",
                    found=f"after {words} had raised {raised.words[:120]}: {change}",
                    fix="restore what forward changes for the time of a call in `finally:`, or "
                    "compute with a changed copy",
                    file=raised.place.file,
                    line=raised.place.line,
                )
                return
    if not raised_once:
        probe.skip("it took every input that was tried")


def _after(probe: Probe, bad: Inputs, *, training: bool) -> tuple[LayerRaised | None, str | None]:
    """Call a fresh layer with bad inputs; return what it raised, and what has changed."""
    layer = probe.layer(training=training)
    before = _flags(layer)
    if probe.attempt(lambda: probe.call(layer)).raised:  # this call fills the caches
        return None, None
    flags, switches = _flags(layer), global_state()
    raised = probe.attempt(lambda: probe.call(layer, bad)).raised
    if raised is None:
        return None, None
    for name, value in {**global_state(), **_flags(layer)}.items():
        good = switches[name] if name in switches else flags.get(name)
        if value not in (good, before.get(name, good)):
            return raised, f"{name} stays {value} instead of {good}"
    if training:  # running statistics of the part that ran are no fault
        return raised, None
    again: Any = probe.attempt(lambda: detached(probe.call(layer)))
    if again.raised:
        return raised, f"the example inputs raise {again.raised.words}"
    return raised, difference(probe.eval_output, again.output)


def _flags(layer: nn.Module) -> dict[str, bool]:
    found = {f"{name}.training".lstrip("."): part.training for name, part in layer.named_modules()}
    for name, parameter in layer.named_parameters():
        found[f"{name}.requires_grad"] = parameter.requires_grad
    return found


def _refused(probe: Probe) -> Iterator[tuple[str, Inputs]]:
    """Yield inputs that most layers refuse, with words for what is wrong with them."""
    for item in probe.inputs().tensors():
        if item.tensor.layout != torch.strided:
            continue
        for words, change in _CHANGES.items():
            tensor = change(item.tensor)
            if tensor is not None:
                yield f"{item.name} {words}", probe.inputs().replaced(item.name, tensor)


def _longer(tensor: Tensor, dim: int) -> Tensor | None:
    if tensor.dim() <= abs(dim) - (dim < 0) or tensor.numel() == 0:
        return None
    return torch.cat([tensor, tensor.narrow(dim, 0, 1)], dim)


_CHANGES: dict[str, Callable[[Tensor], Tensor | None]] = {
    "with one feature more": lambda tensor: _longer(tensor, -1),
    "with one channel more": lambda tensor: _longer(tensor, 1) if tensor.dim() > 2 else None,
    "with one sample more": lambda tensor: _longer(tensor, 0),
    "in float64": lambda tensor: tensor.double() if is_float(tensor) else None,
    "of integers": lambda tensor: tensor.long() if tensor.is_floating_point() else None,
    "without its first dimension": lambda tensor: (
        tensor[0] if tensor.dim() > 1 and len(tensor) else None
    ),
}
