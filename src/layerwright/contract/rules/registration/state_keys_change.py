"""REG008 state-keys-change."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule


@rule(
    "REG008",
    "state-keys-change",
    promise="use does not change the names and shapes in state_dict()",
    family="registration",
    excused_by=("stateful",),
    explains=(
        "SER004", "SER006", "PRF004", "MOD003", "MOD005", "REG012", "CMP003", "CMP007", "BAT003",
        "BAT004", "DEV001", "DTY001", "TRN005", "PUR004", "PUR010",
    ),
    since="0.1",
)  # fmt: skip
def state_keys_change(probe: Probe) -> Iterator[Finding]:
    """Compares `state_dict()` before and after calls, and loads it into an unused copy.

    ## Why is this bad
    A checkpoint of a used layer no longer fits a new one: `load_state_dict` raises "Unexpected
    key(s)" or "size mismatch". An optimizer made before the first call misses the new parameters.

    ## Bad
    ```python
    class Center(nn.Module):
        def forward(self, x):
            if not hasattr(self, "mean"):
                self.register_buffer("mean", x.detach().mean(0))
            return x - self.mean


    case = Case(Center, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Center(nn.Module):
        def __init__(self, num_features=3):
            super().__init__()
            self.register_buffer("mean", torch.zeros(num_features))

        def forward(self, x):
            return x - self.mean


    case = Case(Center, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Register everything in `__init__`; use torch's lazy modules (`nn.LazyLinear`,
    `nn.UninitializedBuffer`) for what depends on the input, and `persistent=False` for caches.

    ## Limits
    Torch's lazy modules may change in their first call. Buffers that change their shape only are
    a warning; a layer that streams says so with `@lw.traits(stateful=True)`.
    """
    layer = probe.layer()
    before = _entries(layer)
    for training in (False, True):
        layer.train(training)
        with torch.no_grad():
            probe.attempt(lambda: probe.call(layer))
            probe.attempt(lambda: probe.call(layer))
        after = _entries(layer)
        if after == before:
            continue
        try:
            probe.layer(training=training).load_state_dict(layer.state_dict())
        except RuntimeError as error:
            yield _finding(probe, before, after, " ".join(str(error).split()), training=training)
        return


def _entries(layer: nn.Module) -> dict[str, tuple[int, ...] | None]:
    return {
        name: tuple(value.shape) if isinstance(value, Tensor) else None
        for name, value in layer.state_dict().items()
    }


def _finding(
    probe: Probe,
    before: dict[str, tuple[int, ...] | None],
    after: dict[str, tuple[int, ...] | None],
    error: str,
    *,
    training: bool,
) -> Finding:
    changes = [f"{name} came" for name in after if name not in before]
    changes += [f"{name} went" for name in before if name not in after]
    only_shapes = not changes
    changes += [
        f"{name} has shape {after[name]} instead of {before[name]}"
        for name in before
        if name in after and after[name] != before[name]
    ]
    trained = {name for name, _ in probe.subject.layer.named_parameters()}
    of_buffers = only_shapes and not any(change.split()[0] in trained for change in changes)
    place = probe.place()
    return Finding(
        where="state_dict()",
        expected="the same names and shapes before and after a call",
        found=f"after calls in {'training' if training else 'eval'} mode {', '.join(changes[:5])}; "
        f"an unused copy does not load it: {error[:200]}",
        fix="register it in __init__; persistent=False for a cache",
        severity="warning" if of_buffers else None,
        file=place.file,
        line=place.line,
    )
