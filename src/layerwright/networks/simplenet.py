"""A network with one hidden layer."""

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import torch
from torch import Tensor, nn

from layerwright.layers.activation.relu import ReLU
from layerwright.layers.linear.linear import Linear
from layerwright.networks.checked_arguments import check_batch, check_count, sample_shape

torch.fx.wrap("check_batch")  # symbolic tracing records the call and leaves it to the run


class SimpleNet(nn.Module):
    r"""One hidden layer: 784-128-10 on 28x28 digits.

    $$ z = W_2 \max(0,\, W_1 x + b_1) + b_2 $$

    | tensor | shape               | note                                               |
    | ------ | ------------------- | -------------------------------------------------- |
    | `x`    | `(N, *input_shape)` | any shape of sample, flattened sample by sample    |
    | output | `(N, num_classes)`  | logits; the loss applies the softmax               |

    Small images are scaled to 28x28 (`image_size`), the size that the layer sizes are meant for.

    Args:
        input_shape: shape of one sample.
        num_classes: number of logits per sample.
        hidden_units: width of the hidden layer.

    Raises:
        OptionError: `num_classes` or `hidden_units` is below 1.
        ShapeError: `input_shape` is no shape; in forward, when the batch has another one.

    Example:
        >>> SimpleNet()(torch.randn(64, 1, 28, 28)).shape
        torch.Size([64, 10])

    Reference:
        Rumelhart, Hinton and Williams (1986), "Learning representations by back-propagating
        errors", Nature 323.
    """

    image_size: ClassVar[int | None] = 28

    def __init__(
        self,
        input_shape: Sequence[int] = (1, 28, 28),
        num_classes: int = 10,
        *,
        hidden_units: int = 128,
    ) -> None:
        super().__init__()
        check_count("SimpleNet", "num_classes", num_classes)
        check_count("SimpleNet", "hidden_units", hidden_units)
        self.input_shape = sample_shape("SimpleNet", input_shape)
        self.fc1 = Linear(prod(self.input_shape), hidden_units)
        self.relu = ReLU()
        self.fc2 = Linear(hidden_units, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of `x`, `(N, *input_shape)`."""
        check_batch("SimpleNet", x, self.input_shape)
        x = self.relu(self.fc1(x.flatten(1)))  # (N, hidden_units)
        return self.fc2(x)  # (N, num_classes)
