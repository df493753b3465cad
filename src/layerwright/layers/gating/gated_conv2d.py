"""Gated convolution for images."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerwright.layers.convolution.conv2d import Conv2d
from layerwright.layers.convolution.padding import Pair


class GatedConv2d(nn.Module):
    r"""Convolve twice; what the one finds decides how much of the other passes, at each place.

    $$ y = (V * x + b) \odot \operatorname{sigmoid}(W * x + c) $$

    Where the gate is open the layer is linear, so that gradients reach the layers below through
    the values unchanged; no other activation is needed. Both convolutions run as one.

    | tensor               | shape                                        | note           |
    | -------------------- | -------------------------------------------- | -------------- |
    | `x`                  | `(N, in_channels, H, W)`, or without `N`     | floating point |
    | output               | `(N, out_channels, H', W')`, or without `N`  | as of `Conv2d` |
    | `convolution.weight` | `(2 * out_channels, in_channels, K1, K2)`    | V above W      |
    | `convolution.bias`   | `(2 * out_channels,)`                        | b above c      |

    Args:
        in_channels: number of maps that come in.
        out_channels: number of maps that go out.
        kernel_size: height and width of the kernel; one number stands for both, here as below.
        stride: steps from one place of the kernel to the next.
        padding: what is added on each side; "same" keeps H and W at stride 1.
        bias: learn b and c.
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        OptionError: an option is impossible; the message says what is possible.
        ShapeError: at the call, where the input has other channels or is smaller than the kernel.

    Example:
        >>> GatedConv2d(3, 8, 3, padding=1)(torch.randn(2, 3, 32, 32)).shape
        torch.Size([2, 8, 32, 32])

    Reference:
        Dauphin et al. (2017), "Language modeling with gated convolutional networks",
        https://arxiv.org/abs/1612.08083 (there over sequences)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair | str = 0,
        *,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.convolution = Conv2d(
            in_channels,
            2 * out_channels,
            kernel_size,
            stride,
            padding,
            bias=bias,
            device=device,
            dtype=dtype,
        )

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.convolution.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and gate `x`, of shape (N, in_channels, H, W) or (in_channels, H, W)."""
        return F.glu(self.convolution(x), dim=-3)
