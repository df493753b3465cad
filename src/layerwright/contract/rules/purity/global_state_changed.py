"""PUR009 global-state-changed."""

import random
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from layerwright.contract.finding import Finding
from layerwright.contract.isolation import global_state, isolated
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.source import Place, is_users

if TYPE_CHECKING:
    from types import FrameType

_SOURCES = ("torch", "numpy", "random")


@rule(
    "PUR009",
    "global-state-changed",
    promise="a call leaves the process's switches and random generators to their owner",
    family="purity",
    needs=(),  # a shared call before this rule's own would turn the switches already
    explains=("PUR010", "MOD002", "GRD010", "GRD008", "GRD009", "TRN001", "TRN006"),
    since="0.1",
)
def global_state_changed(probe: Probe) -> Iterator[Finding]:
    """Compares torch's switches around a call, and looks for generators that it seeded anew.

    ## Why is this bad
    `torch.manual_seed(0)` inside forward makes every dropout mask of the whole network the same at
    each step, and `torch.set_grad_enabled(False)` that is not taken back ends the training of all
    layers behind it. Nobody looks for either in a layer.

    ## Bad
    ```python
    class RandomFeatures(nn.Module):
        def forward(self, x):
            torch.manual_seed(0)
            return (x @ torch.randn(x.shape[-1], 16)).cos()


    case = Case(RandomFeatures, inputs=(torch.randn(4, 8),))
    ```

    ## Good
    ```python
    class RandomFeatures(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("weight", torch.randn(8, 16))

        def forward(self, x):
            return (x @ self.weight).cos()


    case = Case(RandomFeatures, inputs=(torch.randn(4, 8),))
    ```

    ## How to fix
    Draw from a generator of your own (`torch.Generator().manual_seed(0)`), or once in the
    constructor into a buffer. Turn switches with context managers: `with torch.no_grad():`, `with
    torch.autocast(...):`.

    ## Limits
    Environment variables and settings of other libraries are not compared.

    ## References
    - https://github.com/KindXiaoming/pykan/issues/424: every network seeded alike
    - https://github.com/HazyResearch/flash-fft-conv/issues/26: a seed inside, a day of search
    """
    refusals = []
    for training in (False, True):
        try:
            changed = _switches(probe, training=training)
            reseeded = _reseeded(probe, training=training)
        except LayerRaised as raised:
            refusals.append(raised)
            continue
        mode = "training" if training else "eval"
        for name, (old, new, place) in changed.items():
            yield Finding(
                where=f"forward, {name}",
                expected=f"{name} {old} after the call as before",
                found=f"{name} {new}, in {mode} mode",
                fix="turn it with a context manager, which puts it back also after an exception",
                file=place.file,
                line=place.line,
            )
        for source in reseeded:
            place = probe.place()
            yield Finding(
                where=f"forward, random generator of {source}",
                expected="after two different seeds, two different states of the generator",
                found=f"the same state: forward seeds it, in {mode} mode",
                fix="draw from a torch.Generator of your own, or once in the constructor",
                file=place.file,
                line=place.line,
            )
        if changed or reseeded:
            return
    if len(refusals) == 2:
        raise refusals[0]


def _switches(probe: Probe, *, training: bool) -> dict[str, tuple[Any, Any, Place]]:
    """Return the switches that a call turned: before, after, and the line."""
    with isolated(probe.subject.layer):
        layer, before = probe.layer(training=training), global_state()
        probe.call(layer)
        after = global_state()
    turned = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    return {
        name: (*values, _line(probe, name, training=training)) for name, values in turned.items()
    }


def _reseeded(probe: Probe, *, training: bool) -> list[str]:
    states = []
    for more in (0, 1):
        probe.call(probe.layer(training=training), seed=probe.seed + more)
        numpys = np.random.get_state(legacy=False)  # noqa: NPY002 - layers draw from this one
        key = (numpys["state"]["key"].tobytes(), numpys["state"]["pos"])
        states.append((torch.get_rng_state().numpy().tobytes(), key, random.getstate()))
    return [
        source
        for source, one, other in zip(_SOURCES, states[0], states[1], strict=True)
        if one == other
    ]


def _line(probe: Probe, name: str, *, training: bool) -> Place:
    """Run the call again, line by line, and return the line that turned a switch."""
    found = probe.place()
    last: tuple[str, int] | None = None
    done = False

    def trace(frame: "FrameType", event: str, _: Any) -> Any:
        nonlocal found, last, done
        if done:
            return None
        filename = frame.f_code.co_filename
        if not is_users(filename):
            return trace if event == "call" and last is None else None
        if last is not None and event in {"line", "return"} and global_state()[name] != before:
            found, done = Place(*last), True
            return None
        if event == "line":
            last = (filename, frame.f_lineno)
        return trace

    with isolated(probe.subject.layer):
        layer, before, previous = probe.layer(training=training), global_state()[name], None
        previous = sys.gettrace()
        sys.settrace(trace)
        try:
            probe.call(layer)
        finally:
            sys.settrace(previous)
    return found
