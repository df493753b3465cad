"""Metrics by name, and a user's own; counted exactly, however the data is cut into batches."""

import copy
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from layerwright.errors import OptionError, ShapeError
from layerwright.names import look_up, name_of
from layerwright.training.average_precision import MeanAveragePrecision
from layerwright.training.built_in_metrics import (
    R2,
    Accuracy,
    ConfusionMatrix,
    MeanAbsoluteError,
    RunningMean,
    TopK,
)
from layerwright.training.detection import detector_method
from layerwright.training.losses import built

METRICS = ("accuracy", "confusion-matrix", "mae", "map", "map-50", "r2", "top-k")

_METRICS_OF_TASK = {
    "binary": ("accuracy",),
    "classification": ("accuracy",),
    "detection": ("map", "map-50"),
    "regression": ("mae", "r2"),
}


class Metric(Protocol):
    """What a metric does.

    Attributes:
        name: under which reports show it.
        higher_is_better: which way improvement lies; of a confusion matrix it says nothing.
    """

    name: str
    higher_is_better: bool

    def reset(self) -> None:
        """Forget all samples."""

    def update(self, output: Any, target: Any) -> None:
        """Add a batch."""

    def compute(self) -> float | list[Any]:
        """Return the value over all samples since `reset`; NaN where there are none."""


def resolve_metrics(
    specs: Sequence[str | Callable[..., Any]],
    task: str | None,
    num_classes: int | None,
    network: Any = None,
) -> list[Metric]:
    """Return the metrics that `specs` mean.

    Args:
        specs: names from `METRICS` (with a number for k: "top-5"); callables
            `(output, target) -> scalar`, averaged over the samples; or metric objects and classes
            with `update` and `compute`. A user's own says with an attribute
            `higher_is_better = False` that less is better. Empty for those of the task: accuracy
            for "classification" and "binary", MAE and R² for "regression", mean average precision
            for "detection", none for any other.
        task: the data's task; "binary" reads each output as the logit of one yes-or-no question.
        num_classes: where known, what k is checked against.
        network: whose outputs "map" and "map-50" read as detections.

    Raises:
        OptionError: a name is unknown, k does not fit, two metrics share a name, or a spec is
            neither name nor callable nor metric.
    """
    metrics: list[Metric] = []
    for spec in specs or _METRICS_OF_TASK.get(task or "", ()):
        metric = _resolve(spec, task, num_classes, network)
        if metric.name in [other.name for other in metrics]:
            raise OptionError(
                f"metrics expected different names, received {metric.name!r} twice. "
                "Fix: drop one, or give one a name of its own."
            )
        metrics.append(metric)
    return metrics


class SampleMean(RunningMean):
    """A user's function `(output, target) -> scalar`, averaged over the samples."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.name = name_of(function)
        self.higher_is_better = getattr(function, "higher_is_better", True) is not False

    def update(self, output: Any, target: Any) -> None:
        """Add a batch, weighted by its number of samples (the target's first dim)."""
        num_new = len(target) if getattr(target, "ndim", 1) else 1
        if num_new == 0:  # the mean of nothing is NaN in torch
            return
        value = self.function(output, target)
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ShapeError(
                f"metric {self.name!r} expected one number per batch, received {value!r}. "
                "Fix: return a scalar, such as a mean over the batch."
            ) from error
        self.total += number * num_new
        self.count += num_new


class UserMetric:
    """A user's object with `update` and `compute`; without `reset` it is copied afresh."""

    def __init__(self, metric: Any) -> None:
        self.metric = metric
        self._pristine = None if hasattr(metric, "reset") else copy.deepcopy(metric)
        name = getattr(metric, "name", None)
        self.name = name if isinstance(name, str) else type(metric).__name__
        self.higher_is_better = getattr(metric, "higher_is_better", True) is not False

    def reset(self) -> None:
        """Forget all samples."""
        if self._pristine is None:
            self.metric.reset()
        else:
            self.metric = copy.deepcopy(self._pristine)

    def update(self, output: Any, target: Any) -> None:
        """Add a batch."""
        self.metric.update(output, target)

    def compute(self) -> float | list[Any]:
        """Return the value as a number, or as a list where it has several."""
        value = self.metric.compute()
        plain = value.tolist() if hasattr(value, "tolist") else value
        if isinstance(plain, (list, tuple)):
            return list(plain)
        try:
            return float(plain)
        except (TypeError, ValueError) as error:
            raise OptionError(
                f"metric {self.name!r} expected compute to return a number or a list, received "
                f"{plain!r}. Fix: return one of them."
            ) from error


def _resolve(spec: Any, task: str | None, num_classes: int | None, network: Any) -> Metric:
    if isinstance(spec, str):
        return _named(spec, task, num_classes, network)
    if isinstance(spec, type):
        spec = built(spec, "metric")
    if callable(getattr(spec, "update", None)) and callable(getattr(spec, "compute", None)):
        return UserMetric(spec)
    if not callable(spec):
        raise OptionError(
            "metric expected a name, a callable (output, target) -> scalar or an object with "
            f"update and compute, received {spec!r}. Fix: choose one of {', '.join(METRICS)}."
        )
    return SampleMean(spec)


def _named(name: str, task: str | None, num_classes: int | None, network: Any) -> Metric:
    ranked = re.fullmatch(r"top-(\d+|k)", name)
    if not ranked:
        makers: dict[str, Callable[[], Metric]] = {
            "accuracy": lambda: Accuracy(task),
            "confusion-matrix": lambda: ConfusionMatrix(task),
            "mae": MeanAbsoluteError,
            "map": lambda: MeanAveragePrecision(name, detector_method(network, "detections")),
            "map-50": lambda: MeanAveragePrecision(
                name, detector_method(network, "detections"), (0.5,)
            ),
            "r2": R2,
            "top-k": lambda: TopK(1),
        }
        return look_up("metric", name, makers)()
    k = 0 if ranked[1] == "k" else int(ranked[1])
    if k < 1 or k > (num_classes or k):
        most = f"1 to {num_classes}" if num_classes else "1"
        raise OptionError(
            f"metric {name!r} expected a number k from {most}. Fix: write top-3, for example."
        )
    return TopK(k)
