"""Rectified linear unit."""

from typing import Any

import torch
from torch import Tensor, nn

from layerwright.layers.activation.backward_wanted import backward_wanted
from layerwright.layers.hand_written import HandWrittenFunction

_threshold_backward = torch.ops.aten.threshold_backward.default


class ReLUFunction(HandWrittenFunction):
    """max(0, x); its backward reads the output only, which the next layer keeps anyway."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        """Return max(0, x)."""
        return torch.relu(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:  # noqa: ARG004
        """Keep the output: it is positive exactly where the input is."""
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        """Let the gradient through where the output is positive; at 0 it is 0."""
        (output,) = ctx.saved_tensors
        return _threshold_backward(grad_output, output, 0)


@torch.fx.wrap  # symbolic tracing records the call and leaves its decision to the run
def relu(x: Tensor) -> Tensor:
    """Rectify, by `ReLUFunction` where reverse mode will ask for a gradient."""
    return ReLUFunction.apply(x) if backward_wanted(x) else torch.relu(x)


class ReLU(nn.Module):
    r"""Keep what is positive, set the rest to zero.

    $$ y = \max(0, x), \qquad
       \frac{\partial L}{\partial x} = \frac{\partial L}{\partial y} \cdot [\, y > 0 \,] $$

    At the kink, x = 0, the gradient is 0. NaN stays NaN. There is no `inplace`: overwriting the
    input would break the backward of a layer that keeps its output, such as `Sigmoid`.

    | tensor      | shape | note                                    |
    | ----------- | ----- | --------------------------------------- |
    | `x`, output | any   | real numbers; output keeps dtype, device |

    Example:
        >>> ReLU()(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([0., 0., 2.])

    Reference:
        Nair and Hinton (2010), "Rectified linear units improve restricted Boltzmann machines",
        ICML.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Rectify `x`, of any shape."""
        return relu(x)
