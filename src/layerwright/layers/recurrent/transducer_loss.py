"""The loss of a recurrent transducer."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerwright.errors import OptionError, ShapeError

REDUCTIONS = ("none", "mean", "sum")

# Stands for the logarithm of 0: what adds up to it stays finite, so that gradients do too.
_IMPOSSIBLE = -1e30


class TransducerLoss(nn.Module):
    r"""Sum up the probability of all alignments of frames and labels: its negative logarithm.

    An alignment walks through a lattice. From (t, u), frame t with u labels written, it writes the
    next label and stays at the frame, or writes the blank and goes on to the next frame; a blank
    at the last frame, with all labels written, ends it:

    $$ \alpha_{tu} = \log\bigl( e^{\alpha_{t-1,u} + b_{t-1,u}}
       + e^{\alpha_{t,u-1} + l_{t,u-1}} \bigr), \qquad \alpha_{00} = 0, \qquad
       L = -(\alpha_{T-1,U} + b_{T-1,U}) $$

    with b the log-probability of the blank and l that of the next label. All cells of an
    anti-diagonal t + u are computed at once, in float32 or better; autograd walks the lattice
    back.

    | tensor           | shape                        | note                                       |
    | ---------------- | ---------------------------- | ------------------------------------------ |
    | `logits`         | `(N, T, U + 1, num_classes)` | of `TransducerJoint`, not normalised       |
    | `targets`        | `(N, U)`                     | whole numbers, not blank; any after the end|
    | `frame_lengths`  | `(N,)`                       | frames of each sample, up to T             |
    | `target_lengths` | `(N,)`                       | labels of each sample, 0 to U              |
    | output           | `(N,)` or `()`               | by `reduction`                             |

    Without `N` too. Logits beyond the lengths have no effect and get a zero gradient, but must be
    finite. A sample that no alignment fits has an infinite loss and a zero gradient: one without
    frames, or with lengths that exceed the tensors.

    Args:
        blank: the class that stands for no label.
        reduction: "mean" over the samples, "sum", or "none".

    Raises:
        OptionError: the reduction is unknown, or `blank` is no whole number from 0.
        ShapeError: at the call, where a tensor does not fit.

    Example:
        >>> logits = torch.zeros(1, 2, 2, 4)  # two frames, one label, all classes alike
        >>> lengths = torch.tensor([2]), torch.tensor([1])
        >>> loss = TransducerLoss()(logits, torch.tensor([[3]]), *lengths)
        >>> torch.exp(-loss) * 4**3  # two alignments of three steps
        tensor(2.)

    Reference:
        Graves (2012), "Sequence transduction with recurrent neural networks", section 2.4,
        https://arxiv.org/abs/1211.3711
    """

    def __init__(self, blank: int = 0, *, reduction: str = "mean") -> None:
        super().__init__()
        if type(blank) is not int or blank < 0:
            raise OptionError(
                f"TransducerLoss expected blank to be a whole number from 0, received {blank!r}."
            )
        if reduction not in REDUCTIONS:
            raise OptionError(
                f"TransducerLoss expected reduction to be one of {', '.join(REDUCTIONS)}, "
                f"received {reduction!r}."
            )
        self.blank = blank
        self.reduction = reduction

    def forward(
        self, logits: Tensor, targets: Tensor, frame_lengths: Tensor, target_lengths: Tensor
    ) -> Tensor:
        """Return the loss of the samples, reduced.

        Args:
            logits: (N, T, U + 1, num_classes).
            targets: (N, U).
            frame_lengths: (N,).
            target_lengths: (N,).
        """
        losses = transducer_losses(logits, targets, frame_lengths, target_lengths, self.blank)
        if self.reduction == "none":
            return losses
        return losses.mean() if self.reduction == "mean" else losses.sum()

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return f"blank={self.blank}, reduction={self.reduction}"


@torch.fx.wrap  # symbolic tracing records the call and leaves its decisions to the run
def transducer_losses(
    logits: Tensor, targets: Tensor, frame_lengths: Tensor, target_lengths: Tensor, blank: int
) -> Tensor:
    """Return the loss of each sample; `TransducerLoss` says of what shapes.

    Args:
        logits: (N, T, U + 1, num_classes).
        targets: (N, U).
        frame_lengths: (N,).
        target_lengths: (N,).
        blank: the class that stands for no label.

    Raises:
        ShapeError: a tensor does not fit.
    """
    _check(logits, targets, frame_lengths, target_lengths, blank)
    if logits.dim() == 3:
        return transducer_losses(
            logits[None], targets[None], frame_lengths[None], target_lengths[None], blank
        )[0]
    frame_lengths, target_lengths = (
        item.to(logits.device, torch.int64) for item in (frame_lengths, target_lengths)
    )
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    num_frames, num_prefixes = logits.shape[1:3]
    if not num_frames:
        return logits.flatten(1).sum(1) + torch.inf  # a sum of nothing, which backward can pass
    blanks, labels = _log_probabilities(logits, targets, target_lengths, blank)
    alphas = _alphas(blanks, labels)
    ends = alphas + _by_diagonal(blanks)
    # The last blank of a sample: on diagonal T - 1 + U, with U labels written.
    diagonal = (frame_lengths - 1 + target_lengths).clamp(0, ends.shape[1] - 1)
    samples = torch.arange(logits.shape[0], device=logits.device)
    total = ends[samples, diagonal, target_lengths.clamp(0, num_prefixes - 1)]
    fits = (frame_lengths > 0) & (frame_lengths <= num_frames)
    fits &= (target_lengths >= 0) & (target_lengths < num_prefixes)
    possible = fits & (total > _IMPOSSIBLE / 2)
    return torch.where(possible, -total, torch.inf)


def _log_probabilities(
    logits: Tensor, targets: Tensor, target_lengths: Tensor, blank: int
) -> tuple[Tensor, Tensor]:
    """Return those of the blank and of the next label, (N, T, U + 1) each; the last has none."""
    norm = logits.logsumexp(-1)
    blanks = logits[..., blank] - norm
    after = torch.arange(targets.shape[1], device=targets.device) >= target_lengths[:, None]
    classes = F.pad(targets.to(logits.device).masked_fill(after, 0), (0, 1))
    places = classes[:, None, :, None].expand(-1, logits.shape[1], -1, -1)
    labels = logits.gather(-1, places).squeeze(-1) - norm
    return blanks.clamp(min=_IMPOSSIBLE), labels.clamp(min=_IMPOSSIBLE)


def _by_diagonal(values: Tensor) -> Tensor:
    """Move (t, u) of (N, T, U + 1) to (t + u, u) of (N, T + U, U + 1), and fill up."""
    num_samples, num_frames, num_prefixes = values.shape
    # With U + 1 more rows below, row t of a column stands u rows lower in the flattened columns.
    columns = F.pad(values.mT, (0, num_prefixes), value=_IMPOSSIBLE).flatten(1)
    columns = columns[:, : num_prefixes * (num_frames + num_prefixes - 1)]
    return columns.reshape(num_samples, num_prefixes, num_frames + num_prefixes - 1).mT


def _alphas(blanks: Tensor, labels: Tensor) -> Tensor:
    """Return the log-probability to come to each cell, (N, T + U, U + 1) by diagonals."""
    blank_steps, label_steps = _by_diagonal(blanks).unbind(1), _by_diagonal(labels).unbind(1)
    alpha = F.pad(torch.zeros_like(blank_steps[0][:, :1]), (0, blanks.shape[2] - 1),
                  value=_IMPOSSIBLE)  # fmt: skip
    alphas = [alpha]
    for blank_step, label_step in zip(blank_steps[:-1], label_steps[:-1], strict=True):
        from_left = F.pad((alpha + label_step)[:, :-1], (1, 0), value=_IMPOSSIBLE)
        # not logaddexp, whose second derivative is NaN where one of the two is impossible
        alpha = torch.stack((alpha + blank_step, from_left)).logsumexp(0)
        alphas.append(alpha)
    return torch.stack(alphas, 1)


def _check(
    logits: Tensor, targets: Tensor, frame_lengths: Tensor, target_lengths: Tensor, blank: int
) -> None:
    outer = logits.shape[:-3]
    if logits.dim() not in (3, 4) or logits.shape[-2] < 1 or logits.shape[-1] <= blank:
        raise ShapeError(
            f"TransducerLoss expected logits of shape (N, T, U + 1, num_classes), or without N, "
            f"with more than {blank} classes, received {tuple(logits.shape)}."
        )
    shapes = {
        "targets": (targets, (*outer, logits.shape[-2] - 1)),
        "frame_lengths": (frame_lengths, outer),
        "target_lengths": (target_lengths, outer),
    }
    for name, (tensor, shape) in shapes.items():
        whole = not (
            tensor.dtype == torch.bool or tensor.is_floating_point() or tensor.is_complex()
        )
        if tensor.shape != shape or not whole:
            raise ShapeError(
                f"TransducerLoss expected {name} to be whole numbers of shape {tuple(shape)}, "
                f"received {tensor.dtype} of shape {tuple(tensor.shape)}."
            )
