"""Bring rows to mean square one, with a hand-written backward: what three normalisations share."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from layerwright.layers.hand_written import HandWrittenFunction, recording_backward

_HALVES = (torch.float16, torch.bfloat16)


class StandardizationFunction(HandWrittenFunction):
    """Rows of mean square one; backward reads the output and one number for each row.

    The scale r = (m + eps)^(-1/2), where m is the variance or the mean square, is a second output
    and not only kept: so the derivative of backward, which reads it, is complete.
    """

    @staticmethod
    def forward(x: Tensor, eps: float, centred: bool) -> tuple[Tensor, Tensor]:  # noqa: FBT001
        """Return y = r (x - mean), or r x where not `centred`, and r, for x of shape (..., K)."""
        return standardized(x, eps, centred=centred)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        """Keep both outputs; the input can be released."""
        ctx.centred = inputs[2]
        ctx.save_for_backward(*output)

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor, grad_scale: Tensor) -> tuple[Tensor, None, None]:
        """Return r (G - mean(G) - y mean(G y)), less what reached r: r² y / K times its gradient.

        Without centring nothing was subtracted in forward, and mean(G) is left out.
        """
        y, scale = ctx.saved_tensors
        dtype = y.dtype
        grad_y, y = grad_y.to(scale.dtype), y.to(scale.dtype)
        size = y.shape[-1]
        shared = (grad_y * y).mean(-1, keepdim=True) + grad_scale * scale / size
        grad = grad_y - y * shared
        if ctx.centred:
            grad = grad - grad_y.mean(-1, keepdim=True)
        return (grad * scale).to(dtype), None, None


def standardized(x: Tensor, eps: float, *, centred: bool) -> tuple[Tensor, Tensor]:
    """Return the standardised rows of `x` and their scale, by torch's operators.

    Half precision is too coarse for sums of squares and for eps: both are float32 then, and so is
    the scale that is returned.

    Args:
        x: (..., K).
        eps: added to the variance or mean square.
        centred: subtract the mean of each row first.
    """
    wide = x.float() if x.dtype in _HALVES else x
    forward_mode = forward_ad._current_level >= 0  # noqa: SLF001 - no public spelling
    if centred and not forward_mode:
        y, _, scale = torch.native_layer_norm(wide, wide.shape[-1:], None, None, eps)
    else:  # that kernel's second derivatives are wrong in nested forward mode (torch 2.13)
        if centred:
            wide = wide - wide.mean(-1, keepdim=True)
        scale = (wide.square().mean(-1, keepdim=True) + eps).rsqrt()
        y = wide * scale
    return y.to(x.dtype), scale


def standardize(x: Tensor, eps: float, *, centred: bool) -> Tensor:
    """Standardise the rows of `x`, by `StandardizationFunction` where reverse mode will ask.

    What comes back must not be changed in place: backward reads it.

    Args:
        x: (..., K).
        eps: added to the variance or mean square.
        centred: subtract the mean of each row first.
    """
    if x.requires_grad and recording_backward():
        y, _ = StandardizationFunction.apply(x, eps, centred)
        return y
    return standardized(x, eps, centred=centred)[0]


def scaled(y: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Multiply by the gain and add the bias, those of them that there are.

    Without either the result is a copy, so that whoever gets it may change it in place.
    """
    if weight is None:
        return y.clone() if bias is None else y + bias
    return y * weight if bias is None else torch.addcmul(bias, y, weight)
