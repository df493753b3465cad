"""Mixup: training on what lies between samples."""

import random

import torch
from torch import Tensor

from layerwright.errors import DataError, OptionError, ShapeError


def mixup(
    x: Tensor, target: Tensor, alpha: float = 0.2, *, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    r"""Mix each sample of a batch, and its target, with another one of the batch.

    $$ x'_i = \lambda \, x_i + (1 - \lambda) \, x_{\pi(i)}, \qquad
       t'_i = \lambda \, t_i + (1 - \lambda) \, t_{\pi(i)}, \qquad
       \lambda \sim \operatorname{Beta}(\alpha, \alpha) $$

    One share λ and one permutation π are drawn for the whole batch. Sample i may meet itself; a
    batch of one stays as it is. For training only, on distributions (or numbers): classes become
    distributions with `smooth_targets`, before. Metrics of the mixed batch mean little.

    Random numbers come from a CPU generator, whatever the device of `x`: the same seed mixes the
    same on every device. Each call makes two draws from it, the permutation and a seed for λ.

    | tensor          | shape      | note                                            |
    | --------------- | ---------- | ----------------------------------------------- |
    | `x`, output 1   | `(N, ...)` | floating point; keeps dtype, device             |
    | `target`, 2     | `(N, ...)` | floating point: probabilities, or numbers       |

    Args:
        x: the samples.
        target: their targets.
        alpha: above 0; near 0 most λ are near 0 or 1, with 1 they are uniform.
        generator: of the random numbers, on the CPU; None takes torch's default one.

    Raises:
        OptionError: alpha is not a positive number.
        DataError: a tensor is not floating point, such as classes or bytes.
        ShapeError: the batch sizes differ.

    Example:
        >>> x, t = mixup(torch.eye(3), torch.eye(3), alpha=1.0)
        >>> torch.equal(x, t)
        True

    Reference:
        Zhang, Cissé, Dauphin and Lopez-Paz (2018), "mixup: beyond empirical risk minimization",
        https://arxiv.org/abs/1710.09412
    """
    if not 0 < alpha < float("inf"):
        raise OptionError(f"mixup expected alpha to be a positive number, received {alpha!r}.")
    for role, value, fix in (
        ("samples", x, "divide bytes by 255"),
        ("targets", target, "pass smooth_targets(target, num_classes) for classes"),
    ):
        if not value.is_floating_point():
            dtype = str(value.dtype).removeprefix("torch.")
            raise DataError(f"mixup expected floating-point {role}, received {dtype}. Fix: {fix}.")
    if not x.dim() or not target.dim() or len(x) != len(target):
        raise ShapeError(
            f"mixup expected samples and targets of one batch size, "
            f"received {tuple(x.shape)} and {tuple(target.shape)}."
        )
    order = torch.randperm(len(x), generator=generator)
    seed = int(torch.randint(2**62, (), generator=generator))
    share = random.Random(seed).betavariate(alpha, alpha)  # noqa: S311 - torch has no such draw
    mixed, mixed_target = (
        torch.lerp(value[order.to(value.device)], value, share) for value in (x, target)
    )
    return mixed, mixed_target
