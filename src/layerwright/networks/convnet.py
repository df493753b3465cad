"""A small convolutional network."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from layerwright.layers.activation.relu import ReLU
from layerwright.layers.convolution.conv2d import Conv2d
from layerwright.layers.linear.linear import Linear
from layerwright.layers.pooling.max_pool2d import MaxPool2d
from layerwright.networks.checked_arguments import check_batch, check_count, map_shape

torch.fx.wrap("check_batch")  # symbolic tracing records the call and leaves it to the run


class ConvNet(nn.Module):
    r"""Two 5x5 convolutions with 10 and 20 maps, each pooled, then 50 hidden units.

        (C, H, W) -> conv 5x5, 10 -> pool 2 -> ReLU -> conv 5x5, 20 -> pool 2 -> ReLU
                  -> flatten 20 * H' * W' -> 50 -> ReLU -> logits,  H' = ((H - 4) // 2 - 4) // 2

    On 28x28 the flattened size is 20 * 4 * 4 = 320. Pooling comes before ReLU: the two commute,
    values and gradients are the same, and ReLU has a quarter of the work.

    | tensor | shape               | note                                                    |
    | ------ | ------------------- | ------------------------------------------------------- |
    | `x`    | `(N, C, H, W)`      | `input_shape` is `(C, H, W)`, `H` and `W` at least 16   |
    | output | `(N, num_classes)`  | logits; the loss applies the softmax                    |

    Small images are scaled to 28x28 (`image_size`).

    Args:
        input_shape: shape of one sample.
        num_classes: number of logits per sample.
        hidden_units: width of the hidden layer.

    Raises:
        OptionError: `num_classes` or `hidden_units` is below 1.
        ShapeError: `input_shape` does not fit; in forward, when the batch has another one.

    Example:
        >>> ConvNet()(torch.randn(64, 1, 28, 28)).shape
        torch.Size([64, 10])

    Reference:
        LeCun et al. (1989), "Backpropagation applied to handwritten zip code recognition", Neural
        Computation 1 (the kind of network; the sizes are those of many tutorials on MNIST).
    """

    image_size: ClassVar[int | None] = 28

    def __init__(
        self,
        input_shape: Sequence[int] = (1, 28, 28),
        num_classes: int = 10,
        *,
        hidden_units: int = 50,
    ) -> None:
        super().__init__()
        check_count("ConvNet", "num_classes", num_classes)
        check_count("ConvNet", "hidden_units", hidden_units)
        channels, height, width = map_shape("ConvNet", input_shape, smallest=16)
        self.input_shape = (channels, height, width)
        self.conv1 = Conv2d(channels, 10, kernel_size=5)
        self.pool1 = MaxPool2d(2)
        self.relu1 = ReLU()
        self.conv2 = Conv2d(10, 20, kernel_size=5)
        self.pool2 = MaxPool2d(2)
        self.relu2 = ReLU()
        last_height, last_width = (((size - 4) // 2 - 4) // 2 for size in (height, width))
        self.fc1 = Linear(20 * last_height * last_width, hidden_units)
        self.relu3 = ReLU()
        self.fc2 = Linear(hidden_units, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of `x`, `(N, C, H, W)`."""
        check_batch("ConvNet", x, self.input_shape)
        x = self.relu1(self.pool1(self.conv1(x)))  # (N, 10, 12, 12) from 28x28
        x = self.relu2(self.pool2(self.conv2(x)))  # (N, 20, 4, 4)
        x = self.relu3(self.fc1(x.flatten(1)))  # (N, hidden_units)
        return self.fc2(x)  # (N, num_classes)
