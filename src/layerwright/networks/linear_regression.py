"""Linear regression."""

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import torch
from torch import Tensor, nn

from layerwright.layers.linear.linear import Linear
from layerwright.networks.checked_arguments import check_batch, check_count, sample_shape

torch.fx.wrap("check_batch")  # symbolic tracing records the call and leaves it to the run


class LinearRegression(nn.Module):
    r"""Predict numbers as weighted sums of the features.

    $$ \hat{y} = W x + b $$

    Under the squared error its training has one minimum, the least-squares solution.

    | tensor | shape                                        | note                          |
    | ------ | -------------------------------------------- | ----------------------------- |
    | `x`    | `(N, *input_shape)`                          | flattened sample by sample    |
    | output | `(N,)`; `(N, num_outputs)` for more than one | shaped like the targets       |

    Args:
        input_shape: shape of one sample.
        num_outputs: how many numbers to predict.

    Raises:
        OptionError: `num_outputs` is below 1.
        ShapeError: `input_shape` is no shape; in forward, when the batch has another one.

    Example:
        >>> LinearRegression((10,))(torch.randn(64, 10)).shape
        torch.Size([64])

    Reference:
        Legendre (1805), "Nouvelles méthodes pour la détermination des orbites des comètes".
    """

    image_size: ClassVar[int | None] = None

    def __init__(self, input_shape: Sequence[int] = (10,), num_outputs: int = 1) -> None:
        super().__init__()
        check_count("LinearRegression", "num_outputs", num_outputs)
        self.input_shape = sample_shape("LinearRegression", input_shape)
        self.linear = Linear(prod(self.input_shape), num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Predict from `x`, `(N, *input_shape)`."""
        check_batch("LinearRegression", x, self.input_shape)
        y = self.linear(x.flatten(1))  # (N, num_outputs)
        return y.squeeze(1)  # (N,) for one output, as its targets are; otherwise unchanged
