"""SER006 meta-load-differs."""

import copy
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from layerwright.contract.comparing import difference
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import place_of_attribute
from layerwright.random_numbers import seed_all


@rule(
    "SER006",
    "meta-load-differs",
    promise="a layer that is built on the meta device is complete once its state is assigned",
    family="serialization",
    severity="warning",
    needs=("forward", "deterministic", "constructor"),
    since="0.1",
)
def meta_load_differs(probe: Probe) -> Iterator[Finding]:
    """Builds the layer on the meta device, assigns the state of another one, and compares answers.

    ## Why is this bad
    Large networks are built on the meta device, without memory, and get their weights by
    `load_state_dict(state, assign=True)`. Loading code that copies into the meta tensor does
    nothing, without an error: the layer stays empty.

    ## Bad
    ```python
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.rand(3))

        def _load_from_state_dict(self, state, prefix, *args):
            self.weight.data.copy_(state[prefix + "weight"])

        def forward(self, x):
            return x * self.weight


    case = Case(Scale, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.rand(3))

        def forward(self, x):
            return x * self.weight


    case = Case(Scale, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Rename or reshape entries of the state dict before torch loads them, in
    `_load_from_state_dict` in front of `super()`, and leave the assignment to torch.

    ## Limits
    Buffers that the state dict leaves out on purpose (`persistent=False`) must be computed again by
    whoever builds on meta; layers that have some are skipped. So are layers that cannot be built on
    meta, which DEV003 judges, and lazy ones, whose shapes no meta tensor tells.

    ## References
    - https://github.com/pytorch/pytorch/issues/104187
    """
    build = probe.subject.build
    source = probe.rebuild(training=True)  # eval mode may merge weights, and is left out here
    try:
        state = copy.deepcopy(source.state_dict())  # else the two would share their tensors
    except Exception as error:  # noqa: BLE001 - SER004 judges it
        probe.skip(f"state_dict raised {type(error).__name__}: {error}")
    seed_all(probe.seed)
    try:
        with torch.device("meta"):
            target = build() if build is not None else source
    except Exception as error:  # noqa: BLE001 - a constructor may raise anything
        probe.skip(f"it cannot be built on the meta device: {type(error).__name__}: {error}")
    if any(map(is_lazy, [*target.parameters(), *target.buffers()])):
        probe.skip("it takes its shapes from the first call, which the meta device cannot give")
    left_out = [name for name, item in _tensors(target) if name not in state and item.is_meta]
    if left_out:
        probe.skip(f"the state dict leaves {left_out[0]} out, which the constructor computes")
    try:
        target.load_state_dict(state, assign=True)
    except Exception as error:  # noqa: BLE001 - a user's loading code may raise anything
        words, missed = f"load_state_dict(state, assign=True) raised {error}", ""
    else:
        missed = next((name for name, item in _tensors(target) if item.is_meta), "")
        words = f"{missed} is still on the meta device after load_state_dict" if missed else ""
    words = words or _answers(probe, source, target)
    if words:
        path, _, name = missed.rpartition(".")
        module = dict(source.named_modules()).get(path, source)
        place = place_of_attribute(module, "_load_from_state_dict" if not missed else name)
        yield Finding(
            where=missed or "load_state_dict(assign=True)",
            expected="the answers of the layer that gave its state",
            found=words,
            fix="leave the assignment to torch: change the entries of the state, then call super()",
            file=place.file,
            line=place.line,
        )


def _answers(probe: Probe, source: nn.Module, target: nn.Module) -> str:
    """Return how the answers of the two differ in eval mode, or ""."""
    source.eval()
    target.eval()
    with torch.no_grad():
        actual = probe.attempt(lambda: probe.call(target))
        expected = probe.attempt(lambda: probe.call(source))
    if expected.raised:
        return ""
    if actual.raised:
        probe.skip(f"built on meta it holds more than its state: {actual.raised.words}")
    return difference(expected.output, actual.output) or ""


def _tensors(layer: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [*layer.named_parameters(), *layer.named_buffers()]
