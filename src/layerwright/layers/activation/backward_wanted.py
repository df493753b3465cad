"""When an activation enters its hand-written backward, and when the plain operator does."""

from torch import Tensor

from layerwright.layers.hand_written import recording_backward


def backward_wanted(x: Tensor) -> bool:
    """Say whether reverse mode, and only reverse mode, will ask for the gradient of `x`.

    Without a gradient the plain operator is all that is needed. In forward mode it is used too:
    it carries tangents through any nesting of `torch.func.jvp` and `jacfwd`, whereas the `jvp` of
    a Function returns wrong second derivatives in nested forward mode without saying so, and keeps
    `torch.compile` from tracing the Function at all.
    """
    return x.requires_grad and recording_backward()
