"""Pooling over equal blocks."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.pooling.window import check_map, pair

MODES = ("max", "mean")
REMAINDERS = ("error", "drop", "keep")

torch.fx.wrap("check_map")  # symbolic tracing records the call and leaves it to the run


class BlockPool2d(nn.Module):
    r"""Divide the map into equal blocks and pool each on its own ("window pooling").

    $$ y_{nc}[i, j] = \operatorname{pool}_{0 \le a < b_h,\; 0 \le b < b_w}
       x_{nc}[\, b_h i + a,\; b_w j + b \,], \qquad
       \operatorname{pool} \in \{\max, \operatorname{mean}\} $$

    Every value belongs to exactly one block, so nothing is pooled twice and, unless `remainder`
    says so, nothing is left out: a map that the blocks do not divide is refused instead of being
    cropped silently.

    | tensor | shape                             | note                                     |
    | ------ | --------------------------------- | ---------------------------------------- |
    | `x`    | `(N, C, H, W)` or `(C, H, W)`     | floating point; keeps dtype, device      |
    | output | `(N, C, H', W')` or `(C, H', W')` | `H'` = H / block height, `W'` likewise   |

    With `remainder="drop"` the division is rounded down, with "keep" up.

    Args:
        block_size: height and width of a block, or one number for both.
        mode: "max" or "mean".
        remainder: what happens to rows and columns at the end that fill no block. "error" refuses
            them, "drop" leaves them out, "keep" makes smaller blocks of them, whose mean is taken
            over the values they have.

    Raises:
        OptionError: an option has a value that is not listed here.
        ShapeError: in forward, when `x` is no map, when the blocks do not divide it, or when
            nothing is left to pool.

    Example:
        >>> BlockPool2d(2, mode="mean")(torch.arange(16.0).reshape(1, 4, 4))
        tensor([[[ 2.5000,  4.5000],
                 [10.5000, 12.5000]]])

    Reference:
        The pooling of the formula, with windows that neither overlap nor leave gaps: `MaxPool2d`
        and `AvgPool2d` at a stride of one window.
    """

    def __init__(
        self, block_size: int | tuple[int, int], *, mode: str = "max", remainder: str = "error"
    ) -> None:
        super().__init__()
        for option, value, known in (
            ("mode", mode, MODES),
            ("remainder", remainder, REMAINDERS),
        ):
            if value not in known:
                raise OptionError(
                    f"BlockPool2d expected {option} to be one of {', '.join(known)}, "
                    f"received {value!r}."
                )
        self.block_size = block_size
        self.mode = mode
        self.remainder = remainder
        self._block = pair("BlockPool2d", "block_size", block_size, least=1)

    def forward(self, x: Tensor) -> Tensor:
        """Pool each block of `x`, `(N, C, H, W)` or `(C, H, W)`."""
        check_map("BlockPool2d", x, self._block if self.remainder == "drop" else (1, 1))
        if self.remainder == "error":
            check_divides(x, self._block)
        # Windows that step by their own size are blocks, and torch has fast kernels for them.
        pool = F.max_pool2d if self.mode == "max" else F.avg_pool2d
        return pool(x, self._block, ceil_mode=self.remainder == "keep")

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return f"block_size={self.block_size}, mode={self.mode}, remainder={self.remainder}"


@torch.fx.wrap
def check_divides(x: Tensor, block: tuple[int, int]) -> None:
    """Refuse a map that blocks of this height and width do not fill.

    Raises:
        ShapeError: rows or columns are left over.
    """
    if x.shape[-2] % block[0] or x.shape[-1] % block[1]:
        raise ShapeError(
            f"BlockPool2d expected maps that blocks of {block[0]}x{block[1]} divide, "
            f"received {x.shape[-2]}x{x.shape[-1]} in {tuple(x.shape)}. "
            f'Fix: another block_size, or remainder="drop" or "keep".'
        )
