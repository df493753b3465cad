"""When an activation enters its hand-written backward, and when the plain operator does."""

import torch
from torch import Tensor
from torch.autograd import forward_ad


def backward_wanted(x: Tensor) -> bool:
    """Say whether reverse mode, and only reverse mode, will ask for the gradient of `x`.

    Without a gradient the plain operator is all that is needed. In forward mode it is used too:
    it carries tangents through any nesting of `torch.func.jvp` and `jacfwd`, whereas the `jvp` of
    a Function returns wrong second derivatives in nested forward mode without saying so, and keeps
    `torch.compile` from tracing the Function at all.
    """
    return (
        x.requires_grad and torch.is_grad_enabled() and forward_ad._current_level < 0  # noqa: SLF001 - no public spelling
    )
