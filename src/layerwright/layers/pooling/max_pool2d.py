"""Maximum over sliding windows."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerwright.layers.pooling.window import check_map, check_padding, pair, smallest_map

torch.fx.wrap("check_map")  # symbolic tracing records the call and leaves it to the run


class MaxPool2d(nn.Module):
    r"""Keep the largest value of each window.

    $$ y_{nc}[i, j] = \max_{0 \le a < k_h,\; 0 \le b < k_w}
       x_{nc}[\, s_h i + d_h a - p_h,\; s_w j + d_w b - p_w \,] $$

    with kernel size k, stride s, dilation d and padding p. Padding counts as minus infinity. The
    gradient of an output goes to the one input that was its maximum, the first of equals. A NaN
    in a window becomes its maximum. A padded map must be as large as the dilation: the steps of a
    window could otherwise leap over it, and torch's kernel then writes outside the gradient.

    | tensor          | shape                             | note                                |
    | --------------- | --------------------------------- | ----------------------------------- |
    | `x`             | `(N, C, H, W)` or `(C, H, W)`     | keeps dtype, device                 |
    | output, indices | `(N, C, H', W')` or `(C, H', W')` | see below; indices are int64        |

    `H'` = floor((H + 2p - d(k - 1) - 1) / s) + 1, and `W'` likewise.

    Args:
        kernel_size: height and width of a window, or one number for both.
        stride: step from one window to the next; None steps by `kernel_size`.
        padding: rows and columns added on each side, at most half of
            `kernel_size`.
        dilation: step between the values of one window.
        return_indices: also return where each maximum was, as the index into the flattened map.
        ceil_mode: also pool a last window that is cut off by the edge (ceil in place of floor).

    Raises:
        OptionError: an option is no whole number or too small, or padding is too large.
        ShapeError: in forward, when `x` is no map or has no room for one window.

    Example:
        >>> MaxPool2d(2)(torch.arange(16.0).reshape(1, 4, 4))
        tensor([[[ 5.,  7.],
                 [13., 15.]]])

    Reference:
        Riesenhuber and Poggio (1999), "Hierarchical models of object recognition in cortex",
        Nature Neuroscience 2.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        return_indices: bool = False,  # noqa: FBT001, FBT002 - positional as in torch.nn
        ceil_mode: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode
        kernel = pair("MaxPool2d", "kernel_size", kernel_size, least=1)
        strides = pair("MaxPool2d", "stride", self.stride, least=1)
        pads = pair("MaxPool2d", "padding", padding, least=0)
        steps = pair("MaxPool2d", "dilation", dilation, least=1)
        check_padding("MaxPool2d", kernel, pads)
        self._smallest_map = smallest_map(kernel, strides, pads, steps, ceil_mode=ceil_mode)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Pool `x`, `(N, C, H, W)` or `(C, H, W)`."""
        check_map("MaxPool2d", x, self._smallest_map)
        window = (self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)
        if self.return_indices:
            return F.max_pool2d(x, *window, return_indices=True)
        return F.max_pool2d(x, *window)

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )
