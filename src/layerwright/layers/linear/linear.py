"""Linear layer with a hand-written backward."""

import math
from operator import index
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.hand_written import (
    HandWrittenFunction,
    cast_for_autocast,
    recording_backward,
)

_any_autocast = torch._C._is_any_autocast_enabled  # noqa: SLF001 - no public spelling


class LinearFunction(HandWrittenFunction):
    """Product of rows with the weight; its backward is two products and a sum, each if needed."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return x W^T + b, for x of shape (N, in_features)."""
        return F.linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        """Keep the input for the weight's gradient, the weight for the input's."""
        x, weight, _ = inputs
        needs_x, needs_weight, _ = ctx.needs_input_grad
        if needs_x and needs_weight:
            ctx.save_for_backward(x, weight)
        elif needs_weight:
            ctx.save_for_backward(x)
        elif needs_x:
            ctx.save_for_backward(weight)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        """Return G W, G^T x and the sum of G's rows, conjugated where numbers are complex."""
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        saved = ctx.saved_tensors
        return (
            torch.mm(grad_output, saved[-1].conj()) if needs_x else None,
            torch.mm(grad_output.t(), saved[0].conj()) if needs_weight else None,
            grad_output.sum(0) if needs_bias else None,
        )


@torch.fx.wrap  # symbolic tracing records the call and leaves its decisions to the run
def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Compute x W^T + b, with `LinearFunction` where reverse mode will ask for a gradient.

    Elsewhere, as in forward mode, torch's operator brings the derivative.

    Args:
        x: (..., in_features).
        weight: (out_features, in_features).
        bias: (out_features,), or None.

    Raises:
        ShapeError: the last dim of `x` is not the weight's.
    """
    try:  # torch refuses what does not fit; to look first would cost small layers at each call
        if (
            weight.requires_grad or x.requires_grad or (bias is not None and bias.requires_grad)
        ) and recording_backward():
            if _any_autocast():
                x, weight, bias = cast_for_autocast(x, weight, bias)
            if x.dim() == 2:
                return LinearFunction.apply(x, weight, bias)
            if x.dim() > 0:  # a view made inside of a Function could not be changed in place
                rows = x.flatten(0, -2) if x.dim() > 2 else x.unsqueeze(0)
                y = LinearFunction.apply(rows, weight, bias)
                return y.view(*x.shape[:-1], weight.shape[0])
        return F.linear(x, weight, bias)
    except RuntimeError:
        in_features = weight.shape[1]
        if x.shape[-1:] != (in_features,):
            raise ShapeError(
                f"Linear expected an input of shape (..., {in_features}), "
                f"received {tuple(x.shape)}. "
                f"Fix: make the last dim {in_features}, or build the layer with other in_features."
            ) from None
        raise


class Linear(nn.Module):
    r"""Mix all features: each feature that goes out is a weighted sum of those that come in.

    $$ y = x W^\top + b, \qquad
       \frac{\partial L}{\partial x} = G W, \quad
       \frac{\partial L}{\partial W} = G^\top x, \quad
       \frac{\partial L}{\partial b} = \sum_n G_n,
       \quad \text{with } G = \frac{\partial L}{\partial y} $$

    The three gradients are written by hand and computed only where they are needed; the input is
    kept for backward only if the weight learns.

    | tensor   | shape                         | note                                           |
    | -------- | ----------------------------- | ---------------------------------------------- |
    | `x`      | `(..., in_features)`          | any number of dims before, also none           |
    | output   | `(..., out_features)`         | dtype of the weight, autocast's under autocast |
    | `weight` | `(out_features, in_features)` | starts uniform in ±1/sqrt(in_features)         |
    | `bias`   | `(out_features,)`             | starts the same; None without                  |

    Args:
        in_features: size of the input's last dim.
        out_features: size of the output's last dim.
        bias: learn `b`.
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        OptionError: a size is not a whole number from 0.
        ShapeError: at the call, where the last dim of the input is not `in_features` (while
            `torch.compile` traces, its own error tells instead).

    Example:
        >>> Linear(784, 10)(torch.randn(64, 784)).shape
        torch.Size([64, 10])

    Reference:
        Goodfellow, Bengio and Courville (2016), "Deep Learning", section 6.5.6 (the gradients);
        LeCun, Bottou, Orr and Müller (1998), "Efficient BackProp", section 4.6 (the start).
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_features = _size("in_features", in_features)
        self.out_features = _size("out_features", out_features)
        shape = (self.out_features, self.in_features)
        self.weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = nn.Parameter(torch.empty(self.out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias from the uniform distribution in ±1/sqrt(in_features)."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # torch's way to say 1/sqrt(fan-in)
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Map the last dim of `x`, of shape (..., in_features)."""
        return linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


def _size(name: str, value: int) -> int:
    try:
        size = index(value)
    except TypeError:
        size = -1
    if size < 0:
        raise OptionError(
            f"Linear expected {name} to be a whole number from 0, received {value!r}."
        )
    return size
