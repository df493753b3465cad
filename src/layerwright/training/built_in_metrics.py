"""The built-in metrics: counted in whole numbers or float64, so that no batch size shows."""

import torch
from torch import Tensor

from layerwright.errors import DataError, ShapeError
from layerwright.training.losses import aligned, is_counted, require_tensors


class RunningMean:
    """A total over a count: what most metrics add up, in Python's own numbers."""

    name = ""
    higher_is_better = True

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all samples."""
        self.total: float = 0  # stays a whole number where whole numbers are added
        self.count = 0

    def compute(self) -> float:
        """Return the mean over all samples since `reset`; NaN where there are none."""
        return self.total / self.count if self.count else float("nan")


class Accuracy(RunningMean):
    """The share of samples whose class is predicted right.

    The predicted class is the largest logit, the first of equal ones; of one logit (with task
    "binary" of each) it is whether it is above 0. Targets are classes, or probabilities of the
    output's shape, of which the largest counts (of one logit: whether it is above 0.5). Class
    -100 leaves a sample out, as in the loss "cross-entropy".
    """

    name = "accuracy"

    def __init__(self, task: str | None = None) -> None:
        super().__init__()
        self.task = task

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch: logits `(N, C, ...)` with `(N, ...)`, or `(N, ...)` with the same shape."""
        predicted, classes = _classes(self.name, self.task, output, target)
        self.total += int((predicted == classes).sum())
        self.count += int(is_counted(classes).sum())


class TopK(RunningMean):
    """The share of samples whose class is among the k largest logits.

    Of equal logits the one of the lower class ranks first, so that "top-1" is the accuracy and a
    network that answers the same for every class gets no credit for it; NaN outranks numbers.
    (scikit-learn ranks the higher class first, `torch.topk` leaves it open.)
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k
        self.name = f"top-{k}"

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch: logits `(N, C, ...)` with classes `(N, ...)` or probabilities."""
        _, classes = _classes(self.name, None, output, target)
        num_classes = output.shape[1] if output.dim() > 1 else 1
        if num_classes < max(self.k, 2):
            raise ShapeError(
                f"{self.name} expected at least {max(self.k, 2)} classes in dim 1, received an "
                f"output of shape {tuple(output.shape)}. Fix: use a smaller k, or accuracy."
            )
        classes = classes.reshape(-1)
        counted = is_counted(classes)
        classes = classes[counted]
        logits = output.movedim(1, -1).reshape(-1, num_classes)[counted]
        _require_range(self.name, classes, num_classes)
        own = logits.gather(1, classes[:, None])
        later = torch.arange(num_classes, device=logits.device) > classes[:, None]
        num_behind = ((logits < own) | ((logits == own) & later)).sum(1)
        self.total += int((num_behind >= num_classes - self.k).sum())
        self.count += len(classes)


class MeanAbsoluteError(RunningMean):
    """The mean of `|output - target|` over all values, in the target's unit; float64 sums."""

    name = "mae"
    higher_is_better = False

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch; output and target have one shape, as in the loss "mse"."""
        output, target = _float64(self.name, output, target)
        self.total += float((output - target).abs().sum())
        self.count += output.numel()


class ConfusionMatrix:
    """How often each class (row) was predicted as each class (column); classes as in `Accuracy`."""

    name = "confusion-matrix"
    higher_is_better = True

    def __init__(self, task: str | None = None) -> None:
        self.task = task
        self.reset()

    def reset(self) -> None:
        """Forget all samples."""
        self.counts: Tensor | None = None

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch of the shapes that `Accuracy` takes."""
        predicted, classes = _classes(self.name, self.task, output, target)
        counted = is_counted(classes)
        predicted, classes = predicted[counted].cpu(), classes[counted].cpu()
        size = 2 if _is_binary(self.task, output) else output.shape[1]
        _require_range(self.name, classes, size)
        counts = torch.bincount(classes * size + predicted, minlength=size * size)
        counts = counts.reshape(size, size)
        self.counts = counts if self.counts is None else self.counts + counts

    def compute(self) -> list[list[int]]:
        """Return the rows of counts; none where there are no samples."""
        return [] if self.counts is None else self.counts.tolist()


class R2:
    """The share of the target's variance that is explained: `1 - Σ(t - y)² / Σ(t - mean t)²`.

    Several outputs are averaged with equal weights. Of a constant target it is 1 if every sample
    is met and 0 otherwise; of fewer than two samples NaN (all as scikit-learn's `r2_score`).
    Batches are merged by the formula of Chan, Golub and LeVeque (1983), "Algorithms for computing
    the sample variance", on values shifted by the first sample, so that a large mean costs no
    digits and a constant target is recognised exactly.
    """

    name = "r2"
    higher_is_better = True

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all samples."""
        self.num_samples = 0

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch; output and target have one shape, `(N,)` or `(N, ...)`."""
        output, target = _float64(self.name, output, target)
        num_new = len(target)
        if num_new == 0:
            return
        output, target = output.reshape(num_new, -1), target.reshape(num_new, -1)
        if self.num_samples == 0:
            self._shift = target[0].clone()
            zeros = torch.zeros_like(self._shift)
            self._mean, self._spread, self._residual = zeros, zeros, zeros
        total = self.num_samples + num_new
        shifted = target - self._shift
        mean = shifted.mean(0)
        step = mean - self._mean
        between = step.square() * (self.num_samples * num_new / total)
        self._spread = self._spread + (shifted - mean).square().sum(0) + between
        self._mean = self._mean + step * (num_new / total)
        self._residual = self._residual + (target - output).square().sum(0)
        self.num_samples = total

    def compute(self) -> float:
        """Return R²: 1 is perfect, 0 is what answering the mean of the targets reaches."""
        if self.num_samples < 2:
            return float("nan")
        explained = 1 - self._residual / self._spread
        constant = (self._residual == 0).to(explained.dtype)
        return float(torch.where(self._spread == 0, constant, explained).mean())


def _is_binary(task: str | None, output: Tensor) -> bool:
    return task == "binary" or output.dim() < 2 or output.shape[1] == 1


def _classes(user: str, task: str | None, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Read predicted and true classes, two tensors of one shape."""
    require_tensors(user, output, target)
    if _is_binary(task, output):
        output, classes = aligned(user, output, target)
        if target.is_floating_point():
            classes = classes > 0.5
        return (output > 0).long(), classes.long()
    if target.is_floating_point() and target.shape == output.shape:
        target = target.argmax(1)
    expected = (output.shape[0], *output.shape[2:])
    if target.shape == (*expected, 1):
        target = target.squeeze(-1)
    if target.shape != expected:
        raise ShapeError(
            f"{user} expected classes of shape {expected} for an output of shape "
            f"{tuple(output.shape)}, received {tuple(target.shape)}. "
            "Fix: give the network one output per class in dim 1."
        )
    return output.argmax(1), target.long()


def _require_range(user: str, classes: Tensor, num_classes: int) -> None:
    if classes.numel() and not 0 <= int(classes.min()) <= int(classes.max()) < num_classes:
        raise DataError(
            f"{user} expected classes from 0 to {num_classes - 1}, received classes from "
            f"{int(classes.min())} to {int(classes.max())}. Fix: number the classes from 0."
        )


def _float64(user: str, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Align both on the CPU, because some accelerators have no float64."""
    require_tensors(user, output, target)
    return aligned(user, output.detach().cpu().double(), target.detach().cpu().double())
