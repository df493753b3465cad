"""Shortcut without parameters, for residual branches that change the shape."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerwright.errors import OptionError, ShapeError


class PaddedShortcut(nn.Module):
    r"""Take every s-th row and column, and add channels of zeros.

    $$ y_{n c i j} = x_{n, c, s i, s j} \text{ for } c < C, \qquad
       y_{n c i j} = 0 \text{ for } C \le c < C' $$

    It brings `x` to the shape of a residual branch that has stride s and more channels, so that
    they can be added; nothing is learned, and the identity stays as it is.

    | tensor | shape                               | note                          |
    | ------ | ----------------------------------- | ----------------------------- |
    | `x`    | `(N, C, H, W)` or `(C, H, W)`       | any dtype; C is `in_channels` |
    | output | `(N, C', H', W')` or `(C', H', W')` | C' is `out_channels`,         |
    |        |                                     | H' = ceil(H / s), W' likewise |

    Args:
        in_channels: number of maps that come in.
        out_channels: number of maps that go out, at least as many.
        stride: s, of the branch.

    Raises:
        OptionError: a number is no whole number from 1, or fewer maps go out than come in.
        ShapeError: at the call, where `x` is no map with `in_channels` channels.

    Example:
        >>> PaddedShortcut(1, 2, 2)(torch.arange(9.0).reshape(1, 3, 3))
        tensor([[[0., 2.],
                 [6., 8.]],
        <BLANKLINE>
                [[0., 0.],
                 [0., 0.]]])

    Reference:
        He et al. (2015), "Deep residual learning for image recognition", section 3.3, option A,
        https://arxiv.org/abs/1512.03385
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        numbers = {"in_channels": in_channels, "out_channels": out_channels, "stride": stride}
        for name, value in numbers.items():
            least = in_channels if name == "out_channels" else 1
            if type(value) is not int or value < least:
                raise OptionError(
                    f"PaddedShortcut expected {name} to be a whole number from {least}, "
                    f"received {value!r}."
                )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Thin and widen `x`, `(N, in_channels, H, W)` or `(in_channels, H, W)`."""
        check_maps(x, self.in_channels)
        x = x[..., :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, self.out_channels - self.in_channels))

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return f"{self.in_channels}, {self.out_channels}, stride={self.stride}"


@torch.fx.wrap  # symbolic tracing records the call and leaves its decision to the run
def check_maps(x: Tensor, in_channels: int) -> None:
    """Refuse what is no map of so many channels.

    Raises:
        ShapeError: `x` has another shape.
    """
    if x.dim() not in (3, 4) or x.shape[-3] != in_channels:
        raise ShapeError(
            f"PaddedShortcut expected (N, {in_channels}, H, W) or ({in_channels}, H, W), "
            f"received {tuple(x.shape)}. Fix: build it with the channels of what comes in."
        )
