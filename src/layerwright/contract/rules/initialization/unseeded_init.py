"""INI004 unseeded-init."""

import random
from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.attributes import held_outside
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import place_of_attribute
from layerwright.random_numbers import seed_all


@rule(
    "INI004",
    "unseeded-init",
    promise="torch.manual_seed decides what a new layer starts from",
    family="initialization",
    severity="warning",
    needs=("constructor",),
    explains=("PUR011", "SER004"),
    since="0.1",
)
def unseeded_init(probe: Probe) -> Iterator[Finding]:
    """Builds the layer twice under one seed of torch, and compares the values.

    ## Why is this bad
    A program that calls `torch.manual_seed(0)` expects the same run again. Weights that come from
    numpy's generator, the clock or fresh entropy make it another one, and workers of one job begin
    with different layers.

    ## Bad
    ```python
    import numpy as np


    class Fourier(nn.Module):
        def __init__(self):
            super().__init__()
            frequencies = np.random.default_rng().normal(size=(3, 4))
            self.register_buffer("frequencies", torch.tensor(frequencies, dtype=torch.float32))

        def forward(self, x):
            return (x @ self.frequencies).cos()


    case = Case(Fourier, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Fourier(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("frequencies", torch.randn(3, 4))

        def forward(self, x):
            return (x @ self.frequencies).cos()


    case = Case(Fourier, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Draw with torch: `torch.randn`, `nn.init.*_`, or a `torch.Generator` with a seed of its own.
    """
    reported: set[str] = set()
    for source, disturb in (
        ("a generator that no seed reaches", _nothing),
        ("the generator of numpy or of random", _disturb),
    ):
        for name, owner, attribute, words in _differences(probe, disturb):
            if name in reported:
                continue
            reported.add(name)
            place = place_of_attribute(owner, attribute)
            yield Finding(
                where=name,
                expected="the same values after the same torch.manual_seed",
                found=f"two builds under seed {probe.seed} differ, it comes from {source}: {words}",
                fix="draw with torch's generator, such as torch.randn or nn.init.normal_",
                file=place.file,
                line=place.line,
            )


def _nothing() -> None:
    """Leave all generators as the seed has set them."""


def _disturb() -> None:
    np.random.seed(4321)  # noqa: NPY002 - layers draw from the global generator
    random.seed(4321)


def _differences(
    probe: Probe, disturb: Callable[[], None]
) -> Iterator[tuple[str, nn.Module, str, str]]:
    build = probe.subject.build
    if build is None:
        return
    layers = []
    for change in (_nothing, disturb):
        seed_all(probe.seed)
        change()
        layers.append(build())
    one, other = (_values(layer) for layer in layers)
    for name, (owner, attribute, value) in one.items():
        if name not in other:
            continue
        words = difference(value, other[name][2], exact=True)
        if words:
            yield name, owner, attribute, words


def _values(layer: nn.Module) -> dict[str, tuple[nn.Module, str, Tensor]]:
    """Return the tensors of a layer by name, with the modules that hold them."""
    found: dict[str, tuple[nn.Module, str, Tensor]] = {}
    for path, module in layer.named_modules():
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for attribute, value in own:
            if is_lazy(value):
                continue
            found[f"{path}.{attribute}" if path else attribute] = (module, attribute, value)
    for held in held_outside(layer):
        if isinstance(held.value, Tensor):
            found.setdefault(held.name, (held.module, held.attribute, held.value))
    return found
