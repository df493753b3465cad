"""The computation of a convolution over images, with its backward written by hand."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from layerwright.errors import ShapeError
from layerwright.layers.convolution.padding import Pair, pad, smallest_map
from layerwright.layers.hand_written import (
    HandWrittenFunction,
    cast_for_autocast,
    recording_backward,
)

Options = tuple[Pair, Pair, Pair, int]  # stride, padding, dilation, groups

_any_autocast = torch._C._is_any_autocast_enabled  # noqa: SLF001 - no public spelling
_convolution_backward = torch.ops.aten.convolution_backward.default


class Conv2dFunction(HandWrittenFunction):
    """Cross-correlation with the weight; its backward computes only the gradients in demand.

    The input's gradient is the transposed convolution of the output's gradient, the weight's the
    correlation of the input with it, the bias's a sum: torch's kernel for all three is called
    with the mask of what is needed. The input is kept only if the weight learns; where it does
    not, backward needs no more than the input's shape.
    """

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, options: Options) -> Tensor:
        """Return the convolution of a batch of images."""
        return F.conv2d(x, weight, bias, *options)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        """Keep what the gradients in demand are computed from."""
        x, weight, _, ctx.options = inputs
        if ctx.needs_input_grad[1]:
            ctx.save_for_backward(x, weight)
        elif ctx.needs_input_grad[0]:
            ctx.save_for_backward(weight)
            ctx.x_shape = x.shape
            ctx.channels_last = x.is_contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of input, weight and bias, and None for the options."""
        mask = needs_x, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        grad_bias = None
        if needs_weight:
            x, weight = ctx.saved_tensors
        else:
            if needs_bias:  # the kernel would compute the weight's gradient beside it
                grad_bias = grad_output.sum((0, 2, 3))
            if not needs_x:
                return None, None, grad_bias, None
            (weight,) = ctx.saved_tensors
            x = _stand_in(ctx, weight)
            mask = True, False, False
        stride, padding, dilation, groups = ctx.options
        grad_x, grad_weight, kernel_grad_bias = _convolution_backward(
            grad_output,
            x,
            weight,
            (weight.shape[0],),  # the bias's shape
            stride,
            padding,
            dilation,
            False,  # not a transposed convolution,
            (0, 0),  # so nothing is added to its output
            groups,
            mask,
        )
        return grad_x, grad_weight, kernel_grad_bias if needs_weight else grad_bias, None


def _stand_in(ctx: Any, weight: Tensor) -> Tensor:
    """Return what the kernel reads the input's shape and layout from, never a value."""
    layout = torch.channels_last if ctx.channels_last else torch.contiguous_format
    return torch.empty(ctx.x_shape, dtype=weight.dtype, device=weight.device, memory_format=layout)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Pair,
    padding: Pair | str,
    dilation: Pair,
    groups: int,
    padding_mode: str,
) -> Tensor:
    """Convolve images, with `Conv2dFunction` where reverse mode will ask for a gradient.

    Elsewhere, as in forward mode or for complex numbers, torch's operator brings the derivative.

    Args:
        x: (N, C, H, W) or (C, H, W).
        weight: (out_channels, C / groups, kernel height, kernel width).
        bias: (out_channels,), or None.
        stride: steps from window to window, down and across.
        padding: what is added on each side, down and across, or "same" or "valid".
        dilation: steps between the kernel's points, down and across.
        groups: into how many blocks the channels are divided that do not see each other.
        padding_mode: "zeros", "reflect", "replicate" or "circular".

    Raises:
        ShapeError: `x` has other dims or channels, or is smaller than the kernel.
    """
    image, amount = x, padding
    try:  # torch refuses what does not fit; to look first would cost small layers at each call
        if padding_mode != "zeros" or isinstance(padding, str):
            kernel_size = (weight.shape[2], weight.shape[3])
            image, amount = pad(x, padding, padding_mode, kernel_size, dilation)
        if (
            (weight.requires_grad or x.requires_grad or (bias is not None and bias.requires_grad))
            and recording_backward()
            and not weight.is_complex()
        ):
            if _any_autocast():
                image, weight, bias = cast_for_autocast(image, weight, bias)
            options = (stride, amount, dilation, groups)
            if image.dim() == 3:
                return Conv2dFunction.apply(image.unsqueeze(0), weight, bias, options).squeeze(0)
            return Conv2dFunction.apply(image, weight, bias, options)
        return F.conv2d(image, weight, bias, stride, amount, dilation, groups)
    except RuntimeError:
        kernel_size = (weight.shape[2], weight.shape[3])
        fault = _fault(
            x.shape,
            weight.shape[1] * groups,
            smallest_map(padding, padding_mode, kernel_size, dilation),
        )
        if fault:
            raise ShapeError(fault) from None
        raise


def _fault(shape: torch.Size, in_channels: int, smallest: Pair) -> str | None:
    """Say what is wrong with the shape of an input, if anything is."""
    if len(shape) not in {3, 4} or shape[-3] != in_channels:
        return (
            f"Conv2d expected an input of shape (N, {in_channels}, H, W) or "
            f"({in_channels}, H, W), received {tuple(shape)}. "
            f"Fix: move the channels to dim -3, or build the layer with other in_channels."
        )
    if shape[-2] < smallest[0] or shape[-1] < smallest[1]:
        return (
            f"Conv2d expected maps of at least {smallest[0]} x {smallest[1]}, "
            f"received {shape[-2]} x {shape[-1]} in {tuple(shape)}. "
            f"Fix: use larger maps, a smaller kernel_size or dilation, or another padding."
        )
    return None
