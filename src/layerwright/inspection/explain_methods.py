"""Attributions: how much each input value speaks for a score, by captum, with their completeness.

Integrated gradients are complete: they sum to the score at the input minus the score at a baseline
(Sundararajan, Taly and Yan, 2017, "Axiomatic attribution for deep networks",
https://arxiv.org/abs/1703.01365). The integral is computed with finitely many steps, so that the
sum is off by an error, which is measured here. Occlusion (Zeiler and Fergus, 2014,
https://arxiv.org/abs/1311.2901) promises no such sum.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from layerwright.errors import MissingExtraError, OptionError

METHODS = ("integrated-gradients", "occlusion")
COMPLETE = 0.01  # of the difference of the scores
NEARLY_NOTHING = 1e-3  # below which an error does not count, where the scores hardly differ
_STEPS = (32, 64, 128, 256, 512, 1024)
_AT_ONCE = 64  # inputs in one pass

Score = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Attribution:
    """How much each value of an input speaks for a score.

    Attributes:
        method: one of `METHODS`.
        values: of the input's shape, without the batch dim, on the CPU.
        score: at the input.
        baseline_score: at the baseline.
        num_steps: steps of the integral; None for occlusion.
    """

    method: str
    values: Tensor
    score: float
    baseline_score: float
    num_steps: int | None

    @property
    def total(self) -> float:
        """The sum of all attributions."""
        return float(self.values.double().sum())

    @property
    def difference(self) -> float:
        """The score at the input minus that at the baseline."""
        return self.score - self.baseline_score

    @property
    def error(self) -> float:
        """How far the sum is off the difference."""
        return abs(self.total - self.difference)

    @property
    def is_complete(self) -> bool:
        """Whether the error is at most 1 % of the difference, or 0.001."""
        return self.error <= max(COMPLETE * abs(self.difference), NEARLY_NOTHING)

    def in_words(self) -> str:
        """Say method and completeness in one line."""
        relative = f"{self.error / abs(self.difference):.2%}" if self.difference else "undefined"
        steps = f", {self.num_steps} steps" if self.num_steps else ", which promises no sum"
        return (
            f"{self.method.replace('-', ' ')}{steps}: sum {self.total:.4f}, difference of the "
            f"scores {self.difference:.4f}, completeness error {self.error:.2g} ({relative})"
        )

    def warning(self) -> str | None:
        """Say what an error beyond the bound means; None within it, and for occlusion."""
        if self.is_complete or self.method != "integrated-gradients":
            return None
        return (
            f"warning: the attributions miss more than {COMPLETE:.0%} of the difference of the "
            f"scores after {self.num_steps} steps. The network may jump, or its backward may not "
            "be its derivative: layerwright check tells."
        )


def require_captum() -> Any:
    """Return captum's module of methods.

    Raises:
        MissingExtraError: captum is not installed.
    """
    try:
        from captum import attr  # noqa: PLC0415 - an extra, imported where it is used
    except ImportError as error:
        raise MissingExtraError("explaining a prediction", "captum", "explain") from error
    return attr


def attribute(
    score: Score, point: Tensor, baseline: Tensor, *, method: str, window: tuple[int, ...]
) -> Attribution:
    """Attribute a score to the values of one input.

    Args:
        score: `(n, ...) -> (n,)`, each by its own input alone.
        point: the input, `(1, ...)`.
        baseline: what stands for nothing, of the same shape.
        method: one of `METHODS`.
        window: for occlusion the part that is hidden at once, without the batch dim. Windows
            overlap by half, and what hiding one costs is shared among its values.

    Raises:
        OptionError: the method is unknown, or no gradient reaches the input.
        MissingExtraError: captum is not installed.
    """
    if method not in METHODS:
        raise OptionError(f"explain expected {' or '.join(METHODS)}, received {method!r}.")
    methods = require_captum()
    point, baseline = point.detach(), baseline.detach()
    with torch.no_grad():
        scores = float(score(point)), float(score(baseline))
    if method == "occlusion":
        return _occlusion(methods, score, point, baseline, window, scores)
    return _integrated_gradients(methods, score, point, baseline, scores)


def _integrated_gradients(
    methods: Any, score: Score, point: Tensor, baseline: Tensor, scores: tuple[float, float]
) -> Attribution:
    """Double the steps until the sum is complete."""
    integral = methods.IntegratedGradients(score)
    found: Attribution
    for num_steps in _STEPS:
        try:
            values = integral.attribute(
                point.clone().requires_grad_(),
                baselines=baseline,
                n_steps=num_steps,
                internal_batch_size=_AT_ONCE,
            )
        except RuntimeError as error:
            raise OptionError(
                f"integrated gradients expected a gradient at the input, and torch said: "
                f"{str(error).splitlines()[0]} Fix: --explain occlusion, which needs none."
            ) from error
        found = _attribution("integrated-gradients", values, scores, num_steps)
        if found.is_complete:
            break
    return found


def _occlusion(
    methods: Any,
    score: Score,
    point: Tensor,
    baseline: Tensor,
    window: tuple[int, ...],
    scores: tuple[float, float],
) -> Attribution:
    strides = tuple(max(1, size // 2) if size < full else size
                    for size, full in zip(window, point.shape[1:], strict=True))  # fmt: skip
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about windows that reach over the edge
        values = methods.Occlusion(score).attribute(
            point,
            sliding_window_shapes=window,
            strides=strides,
            baselines=baseline,
            perturbations_per_eval=_AT_ONCE,
        )
    return _attribution("occlusion", values / torch.Size(window).numel(), scores, None)


def _attribution(
    method: str, values: Tensor, scores: tuple[float, float], num_steps: int | None
) -> Attribution:
    at, before = scores
    return Attribution(method, values[0].detach().float().cpu(), at, before, num_steps)
