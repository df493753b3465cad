"""Reversible blocks in a row, whose memory does not grow with their number."""

from typing import Any

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError
from layerwright.layers.residual.reversible_block import ReversibleBlock, check_halves
from layerwright.layers.residual.reversible_function import couple

torch.fx.wrap("check_halves")  # symbolic tracing records the call and leaves it to the run


class ReversibleSequence(nn.Module):
    r"""Run reversible blocks one after another, and keep the last output only.

    $$ y = B_n(\ldots B_2(B_1(x))) $$

    The result is that of `nn.Sequential` of the same blocks. For backward each of those keeps its
    own output, so that together they keep n; here one backward walks all blocks from the last
    output back, and what is kept does not depend on n. `ReversibleBlock` says what follows from
    that for F and G.

    | tensor      | shape | note                                     |
    | ----------- | ----- | ---------------------------------------- |
    | `x`, output | any   | of even size along the blocks' `dim`     |

    Args:
        *blocks: at least one, all with the same `dim`.

    Raises:
        OptionError: there is no block, one is none, or their dims differ.
        ShapeError: in forward, as for a block.

    Example:
        >>> blocks = [ReversibleBlock(nn.Linear(3, 3), nn.Tanh()) for _ in range(4)]
        >>> ReversibleSequence(*blocks)(torch.randn(2, 6)).shape
        torch.Size([2, 6])

    Reference:
        Gomez, Ren, Urtasun and Grosse (2017), "The reversible residual network: backpropagation
        without storing activations", https://arxiv.org/abs/1707.04585
    """

    def __init__(self, *blocks: ReversibleBlock) -> None:
        super().__init__()
        if not blocks or not all(isinstance(block, ReversibleBlock) for block in blocks):
            raise OptionError(
                f"ReversibleSequence expected one or more ReversibleBlocks, "
                f"received {', '.join(type(block).__name__ for block in blocks) or 'none'}."
            )
        dims = {block.dim for block in blocks}
        if len(dims) > 1:
            raise OptionError(
                f"ReversibleSequence expected blocks with the same dim, received {sorted(dims)}."
            )
        self.blocks = nn.ModuleList(blocks)
        self.dim = blocks[0].dim

    def forward(self, x: Tensor) -> Tensor:
        """Pass `x` through all blocks."""
        check_halves(x, self.dim)
        modules: list[nn.Module] = []
        block: Any
        for block in self.blocks:
            modules += (block.f, block.g)
        first, second = x.chunk(2, self.dim)
        return torch.cat(couple(first, second, modules), self.dim)

    def inverse(self, y: Tensor) -> Tensor:
        """Compute x from `y`, up to rounding; in eval mode, or where no numbers are drawn."""
        block: Any
        for block in reversed(self.blocks):
            y = block.inverse(y)
        return y
