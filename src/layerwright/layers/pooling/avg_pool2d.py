"""Mean over sliding windows."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerwright.errors import OptionError
from layerwright.layers.pooling.window import check_map, check_padding, pair, smallest_map

torch.fx.wrap("check_map")  # symbolic tracing records the call and leaves it to the run


class AvgPool2d(nn.Module):
    r"""Replace each window by its mean.

    $$ y_{nc}[i, j] = \frac{1}{k_h k_w} \sum_{a=0}^{k_h - 1} \sum_{b=0}^{k_w - 1}
       x_{nc}[\, s_h i + a - p_h,\; s_w j + b - p_w \,] $$

    with kernel size k, stride s and padding p. Padding counts as zero.

    | tensor | shape                             | note                                     |
    | ------ | --------------------------------- | ---------------------------------------- |
    | `x`    | `(N, C, H, W)` or `(C, H, W)`     | floating point; keeps dtype, device      |
    | output | `(N, C, H', W')` or `(C, H', W')` | `H'` = floor((H + 2p - k) / s) + 1       |

    Args:
        kernel_size: height and width of a window, or one number for both.
        stride: step from one window to the next; None steps by `kernel_size`.
        padding: rows and columns of zeros added on each side, at most half a window.
        ceil_mode: also pool a last window that is cut off by the edge (ceil in place of floor);
            what lies beyond the padding is not counted.
        count_include_pad: divide by the size of the window, padding included; otherwise by the
            number of its values that are no padding.
        divisor_override: divide by this number instead.

    Raises:
        OptionError: an option is no whole number or too small, padding exceeds half a window, or
            `divisor_override` is 0.
        ShapeError: in forward, when `x` is no map or has no room for one window.

    Example:
        >>> AvgPool2d(2)(torch.arange(16.0).reshape(1, 4, 4))
        tensor([[[ 2.5000,  4.5000],
                 [10.5000, 12.5000]]])

    Reference:
        LeCun et al. (1989), "Backpropagation applied to handwritten zip code recognition", Neural
        Computation 1 (subsampling).
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        ceil_mode: bool = False,  # noqa: FBT001, FBT002 - positional as in torch.nn
        count_include_pad: bool = True,  # noqa: FBT001, FBT002
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override
        kernel = pair("AvgPool2d", "kernel_size", kernel_size, least=1)
        strides = pair("AvgPool2d", "stride", self.stride, least=1)
        pads = pair("AvgPool2d", "padding", padding, least=0)
        check_padding("AvgPool2d", kernel, pads)
        if divisor_override == 0:
            raise OptionError(
                "AvgPool2d expected divisor_override to be None or a number other than 0, "
                "received 0."
            )
        self._smallest_map = smallest_map(kernel, strides, pads, (1, 1), ceil_mode=ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        """Pool `x`, `(N, C, H, W)` or `(C, H, W)`."""
        check_map("AvgPool2d", x, self._smallest_map)
        return F.avg_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
