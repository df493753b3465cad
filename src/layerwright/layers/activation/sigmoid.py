"""Logistic sigmoid."""

from typing import Any

import torch
from torch import Tensor, nn

from layerwright.layers.activation.backward_wanted import backward_wanted
from layerwright.layers.hand_written import HandWrittenFunction

_sigmoid_backward = torch.ops.aten.sigmoid_backward.default


class SigmoidFunction(HandWrittenFunction):
    """1 / (1 + exp(-x)); its backward reads the output only."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        """Return 1 / (1 + exp(-x))."""
        return torch.sigmoid(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:  # noqa: ARG004
        """Keep the output: the derivative is a function of it alone."""
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        """Scale the gradient by y (1 - y), in one kernel."""
        (output,) = ctx.saved_tensors
        return _sigmoid_backward(grad_output, output)


@torch.fx.wrap  # symbolic tracing records the call and leaves its decision to the run
def sigmoid(x: Tensor) -> Tensor:
    """Squash into (0, 1), by `SigmoidFunction` where reverse mode will ask for a gradient."""
    return SigmoidFunction.apply(x) if backward_wanted(x) else torch.sigmoid(x)


class Sigmoid(nn.Module):
    r"""Squash numbers into (0, 1).

    $$ y = \sigma(x) = \frac{1}{1 + e^{-x}}, \qquad
       \frac{\partial L}{\partial x} = \frac{\partial L}{\partial y} \cdot y \, (1 - y) $$

    The derivative is at most 1/4 and vanishes where the output saturates. For the loss of a
    classifier use the logits and a loss that takes logits; it does not saturate.

    | tensor      | shape | note                                                          |
    | ----------- | ----- | ------------------------------------------------------------- |
    | `x`, output | any   | floating point or complex; whole numbers become the default dtype |

    Example:
        >>> Sigmoid()(torch.tensor([-100.0, 0.0, 100.0]))
        tensor([0.0000, 0.5000, 1.0000])

    Reference:
        Verhulst (1838), "Notice sur la loi que la population suit dans son accroissement".
    """

    def forward(self, x: Tensor) -> Tensor:
        """Squash `x`, of any shape."""
        return sigmoid(x)
