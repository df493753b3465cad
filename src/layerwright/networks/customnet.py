"""The network of the main job: two padded convolutions, dropout, optional batch norm."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from layerwright.layers.activation.relu import ReLU
from layerwright.layers.convolution.conv2d import Conv2d
from layerwright.layers.linear.linear import Linear
from layerwright.layers.normalization.batch_norm2d import BatchNorm2d
from layerwright.layers.pooling.max_pool2d import MaxPool2d
from layerwright.layers.regularization.dropout import Dropout
from layerwright.networks.checked_arguments import check_batch, check_count, map_shape

torch.fx.wrap("check_batch")  # symbolic tracing records the call and leaves it to the run


class CustomNet(nn.Module):
    r"""Two padded 3x3 convolutions with pooling, then a hidden layer with dropout.

        (C, H, W) -> conv 3x3, 32 -> pool 2 -> ReLU -> conv 3x3, 64 -> pool 2 -> ReLU
                  -> flatten 64 * (H // 4) * (W // 4) -> 128 -> ReLU -> dropout -> logits

    Padding keeps the size, each pooling halves it, rounding down. Pooling comes before ReLU: the
    two commute, values and gradients are the same, and ReLU has a quarter of the work.

    | tensor | shape               | note                                                    |
    | ------ | ------------------- | ------------------------------------------------------- |
    | `x`    | `(N, C, H, W)`      | `input_shape` is `(C, H, W)`, `H` and `W` at least 4    |
    | output | `(N, num_classes)`  | logits; the loss applies the softmax                    |

    Small images need no scaling (`image_size` is None): 8x8 leaves 2x2 maps after two poolings.

    Args:
        input_shape: shape of one sample.
        num_classes: number of logits per sample.
        hidden_units: width of the hidden layer.
        dropout: probability that a hidden unit is dropped in training.
        batch_norm: normalise after each convolution, which then needs no bias.

    Raises:
        OptionError: `num_classes` or `hidden_units` is below 1, or `dropout` no probability.
        ShapeError: `input_shape` does not fit; in forward, when the batch has another one.

    Example:
        >>> CustomNet((3, 32, 32), batch_norm=True)(torch.randn(64, 3, 32, 32)).shape
        torch.Size([64, 10])

    Reference:
        Simonyan and Zisserman (2015), "Very deep convolutional networks for large-scale image
        recognition", https://arxiv.org/abs/1409.1556 (padded 3x3 convolutions between poolings).
    """

    image_size: ClassVar[int | None] = None

    def __init__(
        self,
        input_shape: Sequence[int] = (1, 28, 28),
        num_classes: int = 10,
        *,
        hidden_units: int = 128,
        dropout: float = 0.5,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        check_count("CustomNet", "num_classes", num_classes)
        check_count("CustomNet", "hidden_units", hidden_units)
        channels, height, width = map_shape("CustomNet", input_shape, smallest=4)
        self.input_shape = (channels, height, width)
        bias = not batch_norm  # batch norm subtracts the mean, and any bias with it
        self.conv1 = Conv2d(channels, 32, kernel_size=3, padding=1, bias=bias)
        self.norm1 = BatchNorm2d(32) if batch_norm else nn.Identity()
        self.pool1 = MaxPool2d(2)
        self.relu1 = ReLU()
        self.conv2 = Conv2d(32, 64, kernel_size=3, padding=1, bias=bias)
        self.norm2 = BatchNorm2d(64) if batch_norm else nn.Identity()
        self.pool2 = MaxPool2d(2)
        self.relu2 = ReLU()
        self.fc1 = Linear(64 * (height // 4) * (width // 4), hidden_units)
        self.relu3 = ReLU()
        self.dropout = Dropout(dropout)
        self.fc2 = Linear(hidden_units, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of `x`, `(N, C, H, W)`."""
        check_batch("CustomNet", x, self.input_shape)
        x = self.relu1(self.pool1(self.norm1(self.conv1(x))))  # (N, 32, H // 2, W // 2)
        x = self.relu2(self.pool2(self.norm2(self.conv2(x))))  # (N, 64, H // 4, W // 4)
        x = self.dropout(self.relu3(self.fc1(x.flatten(1))))  # (N, hidden_units)
        return self.fc2(x)  # (N, num_classes)
