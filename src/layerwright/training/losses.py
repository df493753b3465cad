"""Losses by name, and a user's own; none of them broadcasts silently."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from layerwright.errors import DataError, LayerwrightError, OptionError, ShapeError
from layerwright.names import look_up, name_of
from layerwright.training.detection import detector_method

_LOW_PRECISION = (torch.float16, torch.bfloat16)  # too coarse for the mean over a batch
_IGNORED_CLASS = -100  # torch's: samples of this class count neither in the loss nor in metrics


@dataclass(frozen=True)
class Loss:
    """A loss and the name under which reports show it.

    Args:
        name: a built-in name, or the name of the user's function or class.
        function: `(output, target) -> scalar`, the mean over the batch.
    """

    name: str
    function: Callable[[Any, Any], Tensor]

    def __call__(self, output: Any, target: Any) -> Tensor:
        """Return the mean loss of a batch, a scalar tensor with a gradient."""
        try:
            return self.function(output, target)
        except (AttributeError, TypeError) as error:
            if LOSSES.get(self.name) is self.function:
                require_tensors(f"loss {self.name!r}", output, target, error)
            raise


def mean_squared_error(output: Tensor, target: Tensor) -> Tensor:
    """The mean of `(output - target)²` over all values.

    | tensor   | shape        | note                                                            |
    | -------- | ------------ | --------------------------------------------------------------- |
    | `output` | `(N, ...)`   | floating point                                                  |
    | `target` | `(N, ...)`   | the output's shape, or the same without (or with one more) last |
    |          |              | dim of size 1; of any real dtype                                |

    Raises:
        ShapeError: torch would have to broadcast.
    """
    if output.shape != target.shape or output.dtype != target.dtype:
        output, target = aligned("mse", output, target)
    return F.mse_loss(output, target)


def cross_entropy(output: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """The mean over the samples of `-Σ_c p_c log softmax(output)_c`.

    | tensor   | shape                  | note                                                  |
    | -------- | ---------------------- | ----------------------------------------------------- |
    | `output` | `(N, C, ...)`          | logits                                                |
    | `target` | `(N, ...)`             | classes from 0 to C-1, int64 (uint8 works too); -100  |
    |          |                        | leaves a sample out, as in torch                      |
    |          | or `(N, C, ...)`       | floating point: probabilities                         |

    Args:
        output: the logits.
        target: classes, or probabilities p.
        label_smoothing: the share s of p that is given to all classes alike.

    Raises:
        ShapeError: the shapes fit neither classes nor probabilities.
        DataError: the dtype is neither, or a class lies outside 0 to C-1. The range is looked at
            only when torch fails, so that it costs nothing; on a GPU torch reports a device-side
            assertion instead, and the same batch on the CPU shows the class.
    """
    if output.dim() < 2:
        raise ShapeError(
            f"cross-entropy expected logits of shape (N, C) or (N, C, ...), received "
            f"{tuple(output.shape)}. Fix: give the network one output per class."
        )
    if output.dtype in _LOW_PRECISION:
        output = output.float()
    try:
        return F.cross_entropy(output, target, label_smoothing=label_smoothing)
    except (IndexError, RuntimeError, ValueError) as error:
        problem = _cross_entropy_problem(output, target, isinstance(error, IndexError))
        if problem is None:
            raise
        raise problem from error


def binary_cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """The mean of `-(t log σ(z) + (1 - t) log(1 - σ(z)))` over all values, from logits `z`.

    | tensor   | shape        | note                                                            |
    | -------- | ------------ | --------------------------------------------------------------- |
    | `output` | `(N, ...)`   | logits, one for each yes-or-no question                         |
    | `target` | `(N, ...)`   | probabilities, or 0 and 1 of any dtype (not checked: -1 and 1   |
    |          |              | give a meaningless loss); shape as in `mean_squared_error`      |

    Raises:
        ShapeError: torch would have to broadcast.
    """
    if output.shape != target.shape or output.dtype != target.dtype:
        output, target = aligned("binary-cross-entropy", output, target)
    return F.binary_cross_entropy_with_logits(output, target)


def kl_divergence(output: Tensor, target: Tensor) -> Tensor:
    """The Kullback-Leibler divergence of the network's distribution from the target's.

    `(1/N) Σ_n Σ_c t_nc (log t_nc - log softmax(output)_nc)`, where `0 log 0` is 0: the mean over
    the batch of the sum over the classes (torch's "batchmean").

    | tensor   | shape         | note                                                           |
    | -------- | ------------- | -------------------------------------------------------------- |
    | `output` | `(N, C, ...)` | logits                                                         |
    | `target` | `(N, C, ...)` | probabilities (not their logarithms), of any real dtype        |

    Raises:
        ShapeError: the shapes differ or have no class dim.
    """
    if output.shape != target.shape or output.dim() < 2:
        raise ShapeError(
            f"kl-divergence expected logits and probabilities of one shape (N, C) or (N, C, ...), "
            f"received {tuple(output.shape)} and {tuple(target.shape)}. "
            "Fix: use cross-entropy for class targets, or one-hot encode them."
        )
    if output.dtype != target.dtype:
        output, target = aligned("kl-divergence", output, target)
    return F.kl_div(F.log_softmax(output, dim=1), target, reduction="batchmean")


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "binary-cross-entropy": binary_cross_entropy,
    "cross-entropy": cross_entropy,
    "kl-divergence": kl_divergence,
    "mse": mean_squared_error,
}

_LOSS_OF_TASK = {
    "binary": "binary-cross-entropy",
    "classification": "cross-entropy",
    "regression": "mse",
}


def resolve_loss(
    spec: str | Callable[..., Any] | None, task: str | None, network: Any = None
) -> Loss:
    """Return the loss that `spec` means.

    Args:
        spec: a name from `LOSSES`; any callable `(output, target) -> scalar`, such as an
            `nn.Module`; a class of such, which is then built without arguments; or None for the
            loss of the task.
        task: "classification", "binary", "regression" or "detection"; None where the data says
            nothing.
        network: whose own loss is the one of the task "detection".

    Raises:
        OptionError: the name is unknown, `spec` cannot be called, or both are None.
    """
    if spec is None:
        if task is None:
            raise OptionError(
                "loss expected a name or a callable because the data has no known task, received "
                f"None. Fix: choose one of {', '.join(sorted(LOSSES))}."
            )
        if task == "detection":
            spec = detector_method(network, "detection_loss")
        else:
            spec = look_up("task", task, _LOSS_OF_TASK)
    if isinstance(spec, str):
        return Loss(spec, look_up("loss", spec, LOSSES))
    if isinstance(spec, Loss):
        return spec
    if isinstance(spec, type):
        spec = built(spec, "loss")
    if not callable(spec):
        raise OptionError(
            f"loss expected a name or a callable (output, target) -> scalar, received {spec!r}. "
            f"Fix: choose one of {', '.join(sorted(LOSSES))}, or give a function."
        )
    return Loss(name_of(spec), spec)


def aligned(user: str, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Give both tensors one shape and one floating-point dtype, at least float32.

    Args:
        user: the loss or metric that needs it, for the message.
        output: what the network gave.
        target: what it should have given; a last dim of size 1 may be missing or too many.

    Raises:
        ShapeError: the shapes differ by more than a last dim of size 1.
    """
    if output.shape != target.shape:
        if (*target.shape, 1) != output.shape and target.shape != (*output.shape, 1):
            raise ShapeError(
                f"{user} expected a target of the output's shape {tuple(output.shape)}, received "
                f"{tuple(target.shape)}. Fix: give the network one output per target value."
            )
        target = target.reshape(output.shape)
    dtype = torch.promote_types(output.dtype, torch.float32)
    return output.to(dtype), target.to(dtype)


def require_tensors(
    user: str, output: object, target: object, cause: Exception | None = None
) -> None:
    """Refuse an output or target that is not one tensor, such as a tuple of several outputs."""
    for role, value in (("output", output), ("target", target)):
        if not isinstance(value, Tensor):
            raise ShapeError(
                f"{user} expected one tensor as {role}, received {type(value).__name__}. "
                "Fix: give a function (output, target) of your own."
            ) from cause


def built(kind: type, purpose: str) -> Any:
    """Build a class without arguments, where a user gave the class for an object of it."""
    try:
        return kind()
    except TypeError as error:
        raise OptionError(
            f"{purpose} {kind.__name__} expected no arguments when built, received: {error}. "
            f"Fix: give an object, {kind.__name__}(...), or a class that needs no arguments."
        ) from error


def is_counted(target: Tensor) -> Tensor:
    """Return where a class target counts: everywhere but at torch's ignored class, -100."""
    return target != _IGNORED_CLASS


def _cross_entropy_problem(
    output: Tensor,
    target: Tensor,
    out_of_range: bool,  # noqa: FBT001
) -> LayerwrightError | None:
    """Say what torch's own error leaves out; None where it is about something else."""
    num_classes = output.shape[1]
    class_shape = (output.shape[0], *output.shape[2:])
    expected = (
        f"cross-entropy expected int64 classes of shape {class_shape} or floating-point "
        f"probabilities of shape {tuple(output.shape)}"
    )
    dtype = str(target.dtype).removeprefix("torch.")
    received = f"received {dtype} of shape {tuple(target.shape)}"
    if out_of_range:
        classes = target[is_counted(target)]
        low, high = int(classes.min()), int(classes.max())
        fix = f"give the network {high + 1} outputs" if low >= 0 else "number the classes from 0"
        if num_classes == 1:
            fix = "use binary-cross-entropy for a network with one output"
        return DataError(
            f"cross-entropy expected classes from 0 to {num_classes - 1}, received classes from "
            f"{low} to {high}. Fix: {fix}."
        )
    if target.shape == class_shape and target.dtype not in (torch.int64, torch.uint8):
        return DataError(f"{expected}, {received}. Fix: pass target.long().")
    if target.shape == output.shape and not target.is_floating_point():
        return DataError(f"{expected}, {received}. Fix: pass target.float() if it is one-hot.")
    if target.shape == (*class_shape, 1):
        return ShapeError(f"{expected}, {received}. Fix: pass target.squeeze(-1).")
    if target.shape not in (class_shape, output.shape):
        return ShapeError(f"{expected}, {received}. Fix: make the target fit the output.")
    return None
