"""A LeNet with ReLU and max pooling."""

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


class LeNet(nn.Module):
    r"""Two 5x5 convolutions with 6 and 16 maps, each pooled, then 120 and 84 hidden units.

        (C, H, W) -> conv 5x5, 6 -> pool 2 -> ReLU -> conv 5x5, 16 -> pool 2 -> ReLU
                  -> flatten 16 * H' * W' -> 120 -> ReLU -> 84 -> ReLU -> logits,
                  H' = ((H - 4) // 2 - 4) // 2

    The flattened size is 16 * 5 * 5 = 400 on 32x32 and 16 * 4 * 4 = 256 on 28x28. Pooling comes
    before ReLU: the two commute, values and gradients are the same, and ReLU has a quarter of the
    work.

    | tensor | shape               | note                                                    |
    | ------ | ------------------- | ------------------------------------------------------- |
    | `x`    | `(N, C, H, W)`      | `input_shape` is `(C, H, W)`, `H` and `W` at least 16   |
    | output | `(N, num_classes)`  | logits; the loss applies the softmax                    |

    Small images are scaled to 28x28 (`image_size`).

    Args:
        input_shape: shape of one sample.
        num_classes: number of logits per sample.

    Raises:
        OptionError: `num_classes` is below 1.
        ShapeError: `input_shape` does not fit; in forward, when the batch has another one.

    Example:
        >>> LeNet((3, 32, 32))(torch.randn(64, 3, 32, 32)).shape
        torch.Size([64, 10])

    Reference:
        LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document
        recognition", Proc. IEEE 86 (there with tanh-like units and learned subsampling).
    """

    image_size: ClassVar[int | None] = 28

    def __init__(self, input_shape: Sequence[int] = (1, 28, 28), num_classes: int = 10) -> None:
        super().__init__()
        check_count("LeNet", "num_classes", num_classes)
        channels, height, width = map_shape("LeNet", input_shape, smallest=16)
        self.input_shape = (channels, height, width)
        self.conv1 = Conv2d(channels, 6, kernel_size=5)
        self.pool1 = MaxPool2d(2)
        self.relu1 = ReLU()
        self.conv2 = Conv2d(6, 16, kernel_size=5)
        self.pool2 = MaxPool2d(2)
        self.relu2 = ReLU()
        last_height, last_width = (((size - 4) // 2 - 4) // 2 for size in (height, width))
        self.fc1 = Linear(16 * last_height * last_width, 120)
        self.relu3 = ReLU()
        self.fc2 = Linear(120, 84)
        self.relu4 = ReLU()
        self.fc3 = Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of `x`, `(N, C, H, W)`."""
        check_batch("LeNet", x, self.input_shape)
        x = self.relu1(self.pool1(self.conv1(x)))  # (N, 6, 14, 14) from 32x32
        x = self.relu2(self.pool2(self.conv2(x)))  # (N, 16, 5, 5)
        x = self.relu3(self.fc1(x.flatten(1)))  # (N, 120)
        x = self.relu4(self.fc2(x))  # (N, 84)
        return self.fc3(x)  # (N, num_classes)
