"""Targets as distributions over the classes, and their smoothing."""

import torch
from torch import Tensor
from torch.nn import functional as F

from layerwright.errors import DataError, OptionError


def smooth_targets(
    target: Tensor,
    num_classes: int,
    smoothing: float = 0.0,
    *,
    dtype: torch.dtype | None = None,
) -> Tensor:
    r"""Turn classes into distributions, and give a share of each to all classes alike.

    $$ q_c = (1 - s) \, p_c + \frac{s}{C}, \qquad
       p_c = 1 \text{ for the target's class, else } 0 $$

    A network that is trained on certainty pushes its logits apart without end; with s > 0 they
    have a finite best value. The cross-entropy of q is that of `nn.CrossEntropyLoss` with
    `label_smoothing=s`; as a tensor q can also be mixed (`mixup`) or compared by another loss.

    | tensor   | shape              | note                                                 |
    | -------- | ------------------ | ---------------------------------------------------- |
    | `target` | `(N, ...)`, `()`   | int64 or uint8 classes from 0 to C - 1               |
    |          | or `(N, C, ...)`   | floating point: probabilities, classes in dim 1      |
    | output   | `(N, C, ...)`      | probabilities; `(C,)` for a single class             |

    Args:
        target: classes, or distributions over them.
        num_classes: C.
        smoothing: s, in [0, 1]; 0 only turns classes into distributions.
        dtype: of the output; None keeps that of probabilities and takes torch's default for
            classes.

    Raises:
        OptionError: smoothing lies outside [0, 1], or num_classes is no whole number from 1.
        DataError: a class lies outside 0 to C - 1 (-100, which torch ignores, included: a
            distribution cannot say that a sample does not count), or the probabilities have
            another number of classes.

    Example:
        >>> smooth_targets(torch.tensor([1, 0]), 2, 0.2)
        tensor([[0.1000, 0.9000],
                [0.9000, 0.1000]])

    Reference:
        Szegedy et al. (2016), "Rethinking the inception architecture for computer vision",
        section 7, https://arxiv.org/abs/1512.00567
    """
    if not 0 <= smoothing <= 1:
        raise OptionError(
            f"smooth_targets expected smoothing to be a share in [0, 1], received {smoothing!r}."
        )
    if type(num_classes) is not int or num_classes < 1:
        raise OptionError(
            f"smooth_targets expected num_classes to be a whole number from 1, "
            f"received {num_classes!r}."
        )
    if target.is_floating_point():
        if target.dim() < 2 or target.shape[1] != num_classes:
            raise DataError(
                f"smooth_targets expected probabilities of shape (N, {num_classes}, ...), "
                f"received {tuple(target.shape)}. "
                f"Fix: move classes to dim 1, or pass int64 classes."
            )
        share = target if dtype is None else target.to(dtype)
    else:
        if target.dtype not in (torch.int64, torch.uint8):
            raise DataError(
                f"smooth_targets expected int64 or uint8 classes or floating-point probabilities, "
                f"received {str(target.dtype).removeprefix('torch.')}. Fix: pass target.long()."
            )
        if (
            target.numel()
            and not 0 <= (low := int(target.min())) <= int(target.max()) < num_classes
        ):
            raise DataError(
                f"smooth_targets expected classes from 0 to {num_classes - 1}, "
                f"received classes from {low} to {int(target.max())}. "
                f"Fix: leave samples out that do not count, or raise num_classes."
            )
        share = F.one_hot(target.long(), num_classes).to(dtype or torch.get_default_dtype())
        if target.dim() > 1:
            share = share.movedim(-1, 1)
    return share * (1 - smoothing) + smoothing / num_classes
