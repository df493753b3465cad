"""Reversible residual block: its input can be computed from its output."""

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.residual.reversible_function import couple


class ReversibleBlock(nn.Module):
    r"""Two residual steps across the halves of the input, which can be undone.

    $$ y_1 = x_1 + F(x_2), \qquad y_2 = x_2 + G(y_1); \qquad
       x_2 = y_2 - G(y_1), \qquad x_1 = y_1 - F(x_2) $$

    $$ \frac{\partial L}{\partial x_2} = g_2 + \left( \frac{\partial F}{\partial x_2}
       \right)^\top \frac{\partial L}{\partial x_1}, \qquad
       \frac{\partial L}{\partial x_1} = g_1 + \left( \frac{\partial G}{\partial y_1}
       \right)^\top g_2, \qquad g = \frac{\partial L}{\partial y} $$

    The backward is written by hand: it computes the input again from the output, and with it what
    F and G need, one at a time. A single block therefore keeps its output; `ReversibleSequence`
    keeps the output of its last block only, so that the memory for activations does not grow with
    the number of blocks. Each block is computed once more for that.

    F and G run again with the parameters, random numbers (dropout), buffers and autocast setting
    of the first time, and change no buffers of theirs a second time. They are modules, so that
    their parameters are known; a tensor that F or G takes from elsewhere gets no gradient. What
    they draw must come from torch's default generators, and between forward and backward they
    stay in one mode, training or eval.

    The input that is computed again differs from the first one by rounding, and the gradients
    with it; in half precision that adds up over many blocks. `benchmarks/reversible_memory.py`
    measures memory, time and error.

    Under `torch.compile`, `torch.export`, `torch.func` transforms and in forward mode the block is
    plain operators, which keep their inputs.

    | tensor      | shape | note                                                           |
    | ----------- | ----- | -------------------------------------------------------------- |
    | `x`, output | any   | of even size along `dim`; keeps the type                       |

    Args:
        f: F, from one half's shape to the same shape.
        g: G, likewise.
        dim: the dim that is split in halves; 1 is that of channels.

    Raises:
        OptionError: f or g is no module.
        ShapeError: in forward, when `x` has no such dim or an odd size along it, or when f or g
            returns another shape.

    Example:
        >>> block = ReversibleBlock(nn.Linear(3, 3), nn.Linear(3, 3))
        >>> x = torch.randn(2, 6)
        >>> torch.allclose(block.inverse(block(x)), x, atol=1e-5)
        True

    Reference:
        Gomez, Ren, Urtasun and Grosse (2017), "The reversible residual network: backpropagation
        without storing activations", https://arxiv.org/abs/1707.04585
    """

    def __init__(self, f: nn.Module, g: nn.Module, *, dim: int = 1) -> None:
        super().__init__()
        for name, module in (("f", f), ("g", g)):
            if not isinstance(module, nn.Module):
                raise OptionError(
                    f"ReversibleBlock expected {name} to be a module, received {module!r}. "
                    f"Fix: wrap a function in a module, so that its parameters are known."
                )
        self.f = f
        self.g = g
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Compute y from `x`."""
        check_halves(x, self.dim)
        first, second = x.chunk(2, self.dim)
        return torch.cat(couple(first, second, (self.f, self.g)), self.dim)

    def inverse(self, y: Tensor) -> Tensor:
        """Compute x from `y`, up to rounding; in eval mode, or where F and G draw no numbers."""
        check_halves(y, self.dim)
        first, second = y.chunk(2, self.dim)
        second = second - self.g(first)
        return torch.cat([first - self.f(second), second], self.dim)

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)` that F and G do not show."""
        return f"dim={self.dim}"


@torch.fx.wrap  # symbolic tracing records the call and leaves its decision to the run
def check_halves(x: Tensor, dim: int) -> None:
    """Refuse a tensor that has no halves along `dim`.

    Raises:
        ShapeError: there is no such dim, or its size is odd or 0.
    """
    if not -x.dim() <= dim < x.dim() or x.shape[dim] % 2 or not x.shape[dim]:
        raise ShapeError(
            f"a reversible block expected an even size along dim {dim}, received "
            f"{tuple(x.shape)}. Fix: choose another dim, or make its size even."
        )
