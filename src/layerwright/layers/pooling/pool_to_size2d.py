"""Pooling to a given size."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerwright.errors import OptionError
from layerwright.layers.pooling.window import check_map, pair

MODES = ("max", "mean")

torch.fx.wrap("check_map")  # symbolic tracing records the call and leaves it to the run


class PoolToSize2d(nn.Module):
    r"""Pool a map of any size to a given one ("adaptive pooling").

    $$ y_{nc}[i, j] = \operatorname{pool}_{a \in B_i(H, H'),\; b \in B_j(W, W')} x_{nc}[a, b],
       \qquad B_i(n, m) = \left\{ \left\lfloor \frac{i n}{m} \right\rfloor, \ldots,
       \left\lceil \frac{(i + 1) n}{m} \right\rceil - 1 \right\} $$

    The bins B cover the map and leave nothing out. Where the size divides the map they are its
    equal blocks, as in `BlockPool2d`; elsewhere neighbours share a row or column, and where the
    size exceeds the map values are repeated. A NaN in a bin becomes its maximum.

    | tensor | shape                             | note                                |
    | ------ | --------------------------------- | ----------------------------------- |
    | `x`    | `(N, C, H, W)` or `(C, H, W)`     | floating point; keeps dtype, device |
    | output | `(N, C, H', W')` or `(C, H', W')` | `H'`, `W'` are `size`               |

    Args:
        size: height and width of the output, or one number for both.
        mode: "max" or "mean".

    Raises:
        OptionError: an option has a value that is not listed here.
        ShapeError: in forward, when `x` is no map, or an empty one.

    Example:
        >>> PoolToSize2d((1, 2), mode="mean")(torch.arange(6.0).reshape(1, 2, 3))
        tensor([[[2., 3.]]])

    Reference:
        Grauman and Darrell (2005), "The pyramid match kernel" and He et al. (2014), "Spatial
        pyramid pooling in deep convolutional networks", https://arxiv.org/abs/1406.4729
    """

    def __init__(self, size: int | tuple[int, int], *, mode: str = "max") -> None:
        super().__init__()
        if mode not in MODES:
            raise OptionError(
                f"PoolToSize2d expected mode to be one of {', '.join(MODES)}, received {mode!r}."
            )
        self.size = size
        self.mode = mode
        self._size = pair("PoolToSize2d", "size", size, least=1)

    def forward(self, x: Tensor) -> Tensor:
        """Pool the bins of `x`, `(N, C, H, W)` or `(C, H, W)`."""
        check_map("PoolToSize2d", x, (1, 1))
        pool = F.adaptive_max_pool2d if self.mode == "max" else F.adaptive_avg_pool2d
        return pool(x, self._size)

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return f"size={self.size}, mode={self.mode}"
