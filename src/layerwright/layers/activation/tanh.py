"""Hyperbolic tangent."""

from typing import Any

import torch
from torch import Tensor, nn

from layerwright.layers.activation.backward_wanted import backward_wanted
from layerwright.layers.hand_written import HandWrittenFunction

_tanh_backward = torch.ops.aten.tanh_backward.default


class TanhFunction(HandWrittenFunction):
    """tanh(x); its backward reads the output only."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        """Return tanh(x)."""
        return torch.tanh(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:  # noqa: ARG004
        """Keep the output: the derivative is a function of it alone."""
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        """Scale the gradient by 1 - y^2, in one kernel."""
        (output,) = ctx.saved_tensors
        return _tanh_backward(grad_output, output)


@torch.fx.wrap  # symbolic tracing records the call and leaves its decision to the run
def tanh(x: Tensor) -> Tensor:
    """Squash into (-1, 1), by `TanhFunction` where reverse mode will ask for a gradient."""
    return TanhFunction.apply(x) if backward_wanted(x) else torch.tanh(x)


class Tanh(nn.Module):
    r"""Squash numbers into (-1, 1), with slope 1 at zero.

    $$ y = \tanh(x) = \frac{e^{x} - e^{-x}}{e^{x} + e^{-x}}, \qquad
       \frac{\partial L}{\partial x} = \frac{\partial L}{\partial y} \cdot (1 - y^2) $$

    | tensor      | shape | note                                                          |
    | ----------- | ----- | ------------------------------------------------------------- |
    | `x`, output | any   | floating point or complex; whole numbers become the default dtype |

    Example:
        >>> Tanh()(torch.tensor([-100.0, 0.0, 100.0]))
        tensor([-1.,  0.,  1.])

    Reference:
        LeCun, Bottou, Orr and Müller (1998), "Efficient BackProp", section 4.4.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Squash `x`, of any shape."""
        return tanh(x)
