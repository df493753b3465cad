"""Dropout of whole maps."""

from typing import Any

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.regularization.dropout import scaled_mask_like


class SpatialDropout(nn.Module):
    r"""Set each map to zero as a whole with probability p, in training only.

    $$ y_{nc} = \frac{m_{nc} \, x_{nc}}{1 - p}, \qquad m_{nc} \sim \operatorname{Bernoulli}(1 - p)
       \text{ independently for each sample and channel} $$

    Neighbours in a map resemble each other, so that what `Dropout` removes can be read from the
    values beside it; here the whole map goes. The division keeps the expected value, and eval mode
    is the identity: there the input itself is returned, with p = 0 in training too.

    Random numbers come from torch's default generator of the device of `x`. A forward pass in
    training with p > 0 makes exactly one draw from it, of one float32 number for each map, whatever
    the dtype of `x`; every other pass makes none.

    | tensor      | shape                                                     | note            |
    | ----------- | --------------------------------------------------------- | --------------- |
    | `x`, output | `(N, C, ...)` or `(C, ...)`, with `spatial_dims` dims at  | floating point; |
    |             | the end                                                   | keeps dtype     |

    The number of dims of a map has to be said, since (8, 3, 5) may be eight samples of three
    sequences or one sample of eight maps.

    Args:
        p: the probability that a map is set to zero, in [0, 1].
        spatial_dims: the number of dims of a map: 1 for sequences, 2 for images, 3 for volumes.

    Raises:
        OptionError: p lies outside [0, 1], or spatial_dims is none of 1, 2, 3.
        ShapeError: in forward, when `x` has another number of dims.

    Example:
        >>> SpatialDropout(0.5)(torch.ones(8, 4, 5, 5)).flatten(2).std(-1).max()
        tensor(0.)

    Reference:
        Tompson et al. (2015), "Efficient object localization using convolutional networks",
        section 3.2, https://arxiv.org/abs/1411.4280
    """

    def __init__(self, p: float = 0.5, spatial_dims: int = 2) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise OptionError(
                f"SpatialDropout expected p to be a probability in [0, 1], received {p!r}."
            )
        if spatial_dims not in (1, 2, 3):
            raise OptionError(
                f"SpatialDropout expected spatial_dims to be 1, 2 or 3, received {spatial_dims!r}."
            )
        self.p = p
        self.spatial_dims = spatial_dims

    def forward(self, x: Tensor) -> Tensor:
        """Drop maps of `x`, `(N, C, ...)` or `(C, ...)`, in training; return `x` in eval."""
        check_maps(x, self.spatial_dims)
        if not self.training or self.p == 0:
            return x
        first_of_each: tuple[Any, ...] = (..., *(slice(1),) * self.spatial_dims)
        return x * scaled_mask_like(x[first_of_each], 1 - self.p)

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)`."""
        return f"p={self.p}, spatial_dims={self.spatial_dims}"


@torch.fx.wrap  # symbolic tracing records the call and leaves its decision to the run
def check_maps(x: Tensor, spatial_dims: int) -> None:
    """Refuse an input with another number of dims.

    Raises:
        ShapeError: `x` has not one or two dims more than a map.
    """
    if x.dim() not in (spatial_dims + 1, spatial_dims + 2):
        sizes = ("L", "H, W", "D, H, W")[spatial_dims - 1]
        raise ShapeError(
            f"SpatialDropout expected (N, C, {sizes}) or (C, {sizes}), received {tuple(x.shape)}. "
            f"Fix: add the missing dims, or change spatial_dims."
        )
