"""What a loss does with scores, found by feeding it: it needs no name."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from layerwright.contract.copying import fresh_copy
from layerwright.contract.probe import Probe
from layerwright.contract.trees import map_tensors
from layerwright.random_numbers import seed_all


@dataclass(frozen=True)
class Trial:
    """A loss and its target, ready to be called.

    Attributes:
        loss: takes `(output, target)`.
        target: what was given with it.
        seed: of each call.
    """

    loss: Callable[..., Any]
    target: Any
    seed: int

    def __call__(self, output: Any, target: Any = None) -> float | None:
        """Return the loss of an output as a number; None if it raises or is no single number."""
        try:
            value = self.raw(output, self.target if target is None else target)
        except Exception:  # noqa: BLE001 - the loss is the user's; None says that it raised
            return None
        if not isinstance(value, Tensor) or not value.numel():
            return None
        return float(value.detach().double().sum())

    def raw(self, output: Any, target: Any) -> Any:
        """Return what a copy of the loss returns; torch's warnings about shapes are not shown."""
        loss = fresh_copy(self.loss) if isinstance(self.loss, torch.nn.Module) else self.loss
        seed_all(self.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return loss(map_tensors(output, torch.clone), map_tensors(target, torch.clone))


def trial(probe: Probe) -> Trial:
    """Return the loss that was given.

    Raises:
        Skip: no target was given with it.
    """
    if probe.subject.loss is None or probe.subject.target is None:
        probe.skip("no loss with a target was given")
    return Trial(probe.subject.loss, probe.subject.target, probe.seed)


def normalizes_itself(loss: Trial, output: Tensor) -> bool:
    """Tell whether a loss applies a softmax over dimension 1: a number added to a row is nothing.

    A loss that answers the same to everything does not count.
    """
    base, shifted, scaled = _three(loss, output)
    if base is None or shifted is None or scaled is None:
        return False
    return _close(base, shifted) and not _close(base, scaled)


def follows_shifts(loss: Trial, output: Tensor) -> bool:
    """Tell whether a loss falls by what is added to all scores, without limit, as NLLLoss does."""
    base, double = loss(output), loss(2.0 * output)
    lower, much_lower = loss(output + 10.0), loss(output + 1000.0)
    if base is None or double is None or lower is None or much_lower is None:
        return False
    fall, further = base - lower, base - much_lower
    return fall > 0 and _close(further, 100.0 * fall) and _close(double, 2.0 * base)


def applies_sigmoid(loss: Trial, output: Tensor) -> bool:
    """Tell whether a loss is the cross-entropy of the sigmoid of its input, up to a factor."""
    target = loss.target
    if not isinstance(target, Tensor) or target.shape != output.shape:
        return False
    if not target.is_floating_point() or bool(((target < 0) | (target > 1)).any()):
        return False
    generator = torch.Generator().manual_seed(loss.seed)
    ratios = []
    for scale in (0.5, 2.0, 6.0):
        scores = scale * torch.randn(output.shape, generator=generator)
        value = loss(scores.to(output))
        plain = float(F.binary_cross_entropy_with_logits(scores.double(), target.double()))
        if value is None:
            return False
        ratios.append(value / plain)
    return ratios[0] > 0 and all(_close(ratio, ratios[0]) for ratio in ratios)


def _three(loss: Trial, output: Tensor) -> tuple[float | None, float | None, float | None]:
    shape = [output.shape[0], 1, *output.shape[2:]]
    generator = torch.Generator().manual_seed(loss.seed)
    shift = 5.0 * torch.randn(shape, generator=generator).to(output)
    return loss(output), loss(output + shift), loss(3.0 * output - output.flip(1))


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-4 * max(abs(one), abs(other), 1e-3)
