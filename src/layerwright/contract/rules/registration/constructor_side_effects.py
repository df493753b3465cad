"""REG009 constructor-side-effects."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from layerwright.contract.finding import Finding
from layerwright.contract.isolation import global_state, restore_state
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.random_numbers import seed_all

# What may be turned without changing a result by more than roundings.
_MILD = {
    "number of threads",
    "float32 matmul precision",
    "cudnn benchmark",
    "cudnn determinism",
    "deterministic algorithms",
    "filling of uninitialised memory",
    "anomaly mode",
}


@rule(
    "REG009",
    "constructor-side-effects",
    promise="building a layer changes nothing but the layer",
    family="registration",
    needs=("constructor",),
    explains=("PUR009", "INI004"),
    since="0.1",
)
def constructor_side_effects(probe: Probe) -> Iterator[Finding]:
    """Builds the layer twice, from two seeds, and compares torch's switches and random states.

    ## Why is this bad
    `torch.manual_seed(0)` in a constructor restarts the random numbers of the whole program: two
    layers get equal weights, every epoch the same dropout masks, and repeated experiments agree
    because they are one. A default dtype set there changes every tensor that is made later.

    ## Bad
    ```python
    class Projection(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.weight = nn.Parameter(torch.randn(3, 2))

        def forward(self, x):
            return x @ self.weight


    case = Case(Projection, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Projection(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 2))

        def forward(self, x):
            return x @ self.weight


    case = Case(Projection, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Leave seeds and switches to the program. For fixed weights draw from a generator of your own:
    `torch.randn(3, 2, generator=torch.Generator().manual_seed(0))`.

    ## Limits
    A switch that is turned to the value that it has already is not seen.

    ## References
    - https://github.com/KindXiaoming/pykan/issues/424
    - https://github.com/HazyResearch/flash-fft-conv/issues/26: "took me a day"
    """
    build = probe.subject.build
    if build is None:
        return
    before = global_state()
    states = []
    for step in (11, 12):
        seed_all(probe.seed + step)
        build()
        states.append(_random_states())
    after = global_state()
    restore_state(before)
    place = probe.place()
    for name in (name for name in states[0] if states[0][name] == states[1][name]):
        yield Finding(
            where="the constructor",
            expected=f"the random state of {name} goes on from where it was",
            found=f"two builds that began with the seeds {probe.seed + 11} and {probe.seed + 12} "
            "end with the same random state: the constructor seeds it",
            fix="take the seed out; draw from a torch.Generator of the layer's own if need be",
            file=place.file,
            line=place.line,
        )
    for name, value in before.items():
        if after[name] != value:
            yield Finding(
                where="the constructor",
                expected=f"{name} as it was: {value}",
                found=f"{name} is {after[name]} after building the layer",
                fix="take it out of the constructor, or restore it there",
                severity="warning" if name in _MILD else None,
                file=place.file,
                line=place.line,
            )


def _random_states() -> dict[str, Any]:
    numbers: Any = np.random.get_state()  # noqa: NPY002 - layers draw from the global generator
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": (numbers[1].tobytes(), numbers[2]),
        "random": random.getstate(),
    }
