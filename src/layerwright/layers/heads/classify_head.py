"""Classification from maps: pool, drop, weigh."""

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.linear.linear import Linear
from layerwright.layers.regularization.dropout import Dropout

POOLINGS = ("mean", "max")


class ClassifyHead(nn.Module):
    r"""Score classes by what the maps hold, wherever it is.

    $$ y_n = W \operatorname{dropout}(h_n) + b, \qquad
       h_{nc} = \operatorname{pool}_{i, j} x_{nc}[i, j] $$

    Each map becomes one number, so that images of any size will do. The output is logits: losses
    such as cross-entropy take them as they are; a softmax gives probabilities.

    | tensor          | shape                                 | note                          |
    | --------------- | ------------------------------------- | ----------------------------- |
    | `x`             | `(N, in_channels, H, W)`, or no `N`   | floating point                |
    | output          | `(N, num_classes)` or `(num_classes,)`| logits                        |

    The steps after the pooling are the attributes `dropout` and `linear`.

    Args:
        in_channels: number of maps that come in.
        num_classes: number of classes.
        pooling: "mean" or "max" over each map.
        dropout: the probability that a pooled value is set to zero in training.
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        OptionError: a number or name is impossible.
        ShapeError: in forward, when `x` has other dims or channels, or maps without a value.

    Example:
        >>> ClassifyHead(64, 10)(torch.randn(8, 64, 7, 7)).shape
        torch.Size([8, 10])

    Reference:
        Lin, Chen and Yan (2014), "Network in network", section 3.2 (global average pooling),
        https://arxiv.org/abs/1312.4400
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        pooling: str = "mean",
        dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("in_channels", in_channels), ("num_classes", num_classes)):
            if type(value) is not int or value < 1:
                raise OptionError(
                    f"ClassifyHead expected {name} to be a whole number from 1, received {value!r}."
                )
        if pooling not in POOLINGS:
            raise OptionError(
                f"ClassifyHead expected pooling to be one of {', '.join(POOLINGS)}, "
                f"received {pooling!r}."
            )
        self.in_channels = in_channels
        self.pooling = pooling
        self.dropout = Dropout(dropout)
        self.linear = Linear(in_channels, num_classes, device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw the weights anew, as `Linear` does."""
        self.linear.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Score the classes of `x`, `(N, in_channels, H, W)` or `(in_channels, H, W)`."""
        check_channels("ClassifyHead", x, self.in_channels)
        pooled = x.mean((-2, -1)) if self.pooling == "mean" else x.amax((-2, -1))
        return self.linear(self.dropout(pooled))

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)` that its steps do not show."""
        return f"pooling={self.pooling}"


@torch.fx.wrap  # symbolic tracing records the call and leaves its decision to the run
def check_channels(layer: str, x: Tensor, in_channels: int) -> None:
    """Refuse what is no map of so many channels, or a map without a value.

    Args:
        layer: name of the layer, for the message.
        x: the tensor that should be `(N, in_channels, H, W)` or `(in_channels, H, W)`.
        in_channels: number of channels.

    Raises:
        ShapeError: `x` has another shape.
    """
    if x.dim() not in (3, 4) or x.shape[-3] != in_channels or 0 in x.shape[-2:]:
        raise ShapeError(
            f"{layer} expected (N, {in_channels}, H, W) or ({in_channels}, H, W) with H and W "
            f"from 1, received {tuple(x.shape)}. Fix: make the channels the third dim from the "
            f"end, or change in_channels."
        )
