"""Squeeze and excite."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.linear.linear import Linear


class SqueezeExcite(nn.Module):
    r"""Scale each channel by a weight between 0 and 1, which depends on the means of all channels.

    $$ y_c = s_c \, x_c, \qquad
       s = \operatorname{sigmoid}\bigl(W_2 \max(W_1 m + b_1, 0) + b_2\bigr), \qquad
       m_c = \operatorname{mean}_{i,j} x_{c,i,j} $$

    | tensor           | shape                         | note                              |
    | ---------------- | ----------------------------- | --------------------------------- |
    | `x`, output      | `(N, C, H, W)`, `(C, H, W)`   | floating point; at least one pixel |
    | `squeeze.weight` | `(squeeze_channels, C)`       | $W_1$                             |
    | `excite.weight`  | `(C, squeeze_channels)`       | $W_2$                             |

    Args:
        channels: number of channels C.
        squeeze_channels: number of channels in between; default C / 16, but at least 8.
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        OptionError: a number of channels is not positive.
        ShapeError: at the call, where `x` has other dims or channels, or maps without a pixel.

    Example:
        >>> SqueezeExcite(64)(torch.randn(2, 64, 7, 7)).shape
        torch.Size([2, 64, 7, 7])

    Reference:
        Hu et al. (2017), "Squeeze-and-excitation networks", https://arxiv.org/abs/1709.01507
    """

    def __init__(
        self,
        channels: int,
        squeeze_channels: int | None = None,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        squeezed = max(8, channels // 16) if squeeze_channels is None else squeeze_channels
        for name, number in (("channels", channels), ("squeeze_channels", squeezed)):
            if number < 1:
                raise OptionError(
                    f"SqueezeExcite expected {name} to be a whole number from 1, "
                    f"received {number!r}."
                )
        self.channels = channels
        self.squeeze = Linear(channels, squeezed, device=device, dtype=dtype)
        self.excite = Linear(squeezed, channels, device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.squeeze.reset_parameters()
        self.excite.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels of `x`, (N, C, H, W) or (C, H, W)."""
        check_pixels(x, self.channels)
        scale = self.excite(F.relu(self.squeeze(x.mean((-2, -1))))).sigmoid()
        return x * scale.unsqueeze(-1).unsqueeze(-1)


@torch.fx.wrap  # symbolic tracing records the call and leaves its decisions to the run
def check_pixels(x: Tensor, channels: int) -> None:
    """Refuse what is no map of so many channels, or has no pixel to take a mean of.

    Raises:
        ShapeError: `x` has another shape.
    """
    if x.dim() not in (3, 4) or x.shape[-3] != channels or 0 in x.shape[-2:]:
        raise ShapeError(
            f"SqueezeExcite expected (N, {channels}, H, W) or ({channels}, H, W) with at least "
            f"one pixel, received {tuple(x.shape)}. "
            f"Fix: move channels before height and width, or build it with other channels."
        )
