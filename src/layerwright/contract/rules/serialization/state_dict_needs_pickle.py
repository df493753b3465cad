"""SER007 state-dict-needs-pickle."""

import io
import re
from collections.abc import Iterator

import torch
from torch import Tensor

from layerwright.contract.evidence.refusals import in_words
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import place_of_attribute


@rule(
    "SER007",
    "state-dict-needs-pickle",
    promise="the saved state_dict loads with torch.load as it is, which means weights_only=True",
    family="serialization",
    needs=(),
    since="0.1",
)
def state_dict_needs_pickle(probe: Probe) -> Iterator[Finding]:
    """Saves the state dict into memory and loads it with `weights_only=True`.

    ## Why is this bad
    `torch.load` refuses the checkpoint since torch 2.6, and who switches the refusal off runs
    whatever code the file contains.

    ## Bad
    ```python
    class Interval:
        def __init__(self, low, high):
            self.low, self.high = low, high


    class Clip(nn.Module):
        def __init__(self):
            super().__init__()
            self.interval = Interval(-1.0, 1.0)

        def get_extra_state(self):
            return self.interval

        def set_extra_state(self, state):
            self.interval = state

        def forward(self, x):
            return x.clamp(self.interval.low, self.interval.high)


    case = Case(Clip, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Clip(nn.Module):
        def __init__(self):
            super().__init__()
            self.low, self.high = -1.0, 1.0

        def get_extra_state(self):
            return {"low": self.low, "high": self.high}

        def set_extra_state(self, state):
            self.low, self.high = state["low"], state["high"]

        def forward(self, x):
            return x.clamp(self.low, self.high)


    case = Case(Clip, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Let `get_extra_state` return tensors, numbers, text and plain lists or dicts of them.

    ## References
    - https://docs.pytorch.org/docs/stable/notes/serialization.html
    """
    layer = probe.layer()
    try:
        state = dict(layer.state_dict())
    except Exception as error:  # noqa: BLE001 - SER004 judges it
        probe.skip(f"state_dict raised {in_words(error)}")
    small = {name: _small(value) for name, value in state.items()}
    try:
        _load(small)
    except Exception as error:  # noqa: BLE001 - pickle raises what a user's object raises
        culprits = [name for name, value in small.items() if _fails(value)]
        name = culprits[0] if culprits else "state_dict"
        path, _, last = name.rpartition(".")
        module = layer.get_submodule(path) if culprits and _has(layer, path) else layer
        extra = "get_extra_state" if last == "_extra_state" else last
        place = place_of_attribute(module, extra)
        kind = type(state[name]) if culprits else type(state)
        yield Finding(
            where=name,
            expected="tensors, numbers, text and plain containers in the state dict",
            found=f"{kind.__module__}.{kind.__qualname__}; loading raises {_told(error)}",
            fix="return tensors, numbers, text or plain dicts of them from get_extra_state",
            file=place.file,
            line=place.line,
        )


def _told(error: Exception) -> str:
    """Return what torch cannot read, without its advice to switch the refusal off."""
    found = re.search(r"Unsupported \w+: \w+ [\w.]+", str(error))
    return f"{type(error).__name__}: {found[0]}" if found else in_words(error)


def _small(value: object) -> object:
    """Return the value; of a plain tensor one element, since its size decides nothing."""
    if type(value) is Tensor and value.layout == torch.strided and not value.is_quantized:
        return torch.zeros(1, dtype=value.dtype)
    return value


def _load(state: object) -> None:
    stream = io.BytesIO()
    torch.save(state, stream)
    stream.seek(0)
    torch.load(stream, weights_only=True)


def _fails(value: object) -> bool:
    try:
        _load(value)
    except Exception:  # noqa: BLE001 - see above
        return True
    return False


def _has(layer: torch.nn.Module, path: str) -> bool:
    return path in dict(layer.named_modules())
