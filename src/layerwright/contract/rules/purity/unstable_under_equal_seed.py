"""PUR011 unstable-under-equal-seed."""

from collections.abc import Iterator
from copy import deepcopy

import torch

from layerwright.contract.comparing import difference
from layerwright.contract.finding import Finding
from layerwright.contract.isolation import isolated
from layerwright.contract.probe import Attempt, Probe, detached
from layerwright.contract.rule import rule


@rule(
    "PUR011",
    "unstable-under-equal-seed",
    promise="equal state, inputs and seeds give equal answers",
    family="purity",
    explains=(
        "PUR002", "PUR004", "PUR005", "PUR008", "PUR010", "MOD002", "MOD005", "SER003", "SER004",
        "SER006", "BAT001", "BAT002", "BAT003", "BAT004", "GRD001", "GRD005", "CMP002", "CMP008",
        "TRN005", "NUM004", "DEV002",
    ),
    since="0.1",
)  # fmt: skip
def unstable_under_equal_seed(probe: Probe) -> Iterator[Finding]:
    """Calls two fresh copies with equal inputs under equal seeds, in both modes.

    ## Why is this bad
    The run cannot be repeated, and a comparison of two runs compares nothing.

    ## Bad
    ```python
    class Noise(nn.Module):
        def forward(self, x):
            own = torch.Generator()
            own.seed()
            return x + torch.randn(x.shape, generator=own) if self.training else x


    case = Case(Noise, inputs=(torch.randn(4, 8),))
    ```

    ## Good
    ```python
    class Noise(nn.Module):
        def forward(self, x):
            return x + torch.randn_like(x) if self.training else x


    case = Case(Noise, inputs=(torch.randn(4, 8),))
    ```

    ## How to fix
    Draw from torch's global generator, or from a generator that the user hands over and seeds;
    `np.random.default_rng()`, `Generator().seed()` and the clock are out of reach of a seed.

    ## Limits
    A layer that holds something that cannot be copied, so that its copies share it, is skipped.
    """
    for training in (False, True):
        first, second = (_answer(probe, training=training) for _ in range(2))
        words = _gap(first, second)
        if words and not _copyable(probe):
            probe.skip("its copies share what cannot be copied")
        if words:
            place = probe.place()
            yield Finding(
                where=f"forward in {'training' if training else 'eval'} mode",
                expected="equal answers of two copies under one seed",
                found=words,
                fix="draw from torch's global generator, or from one that is handed over",
                file=place.file,
                line=place.line,
            )
            return


def _copyable(probe: Probe) -> bool:
    try:
        deepcopy(probe.subject.layer)
    except Exception:  # noqa: BLE001 - attributes of any class may refuse in any way
        return False
    return True


def _answer(probe: Probe, *, training: bool) -> Attempt:
    """Call a fresh copy; classes and global variables are put back, which other rules judge."""
    with isolated(probe.subject.layer), torch.no_grad():
        return probe.attempt(lambda: detached(probe.call(probe.layer(training=training))))


def _gap(first: Attempt, second: Attempt) -> str | None:
    if first.raised and second.raised:
        return None
    for raised in (first.raised, second.raised):
        if raised:
            return f"one of two equal calls raised {raised.words}"
    return difference(first.output, second.output)
