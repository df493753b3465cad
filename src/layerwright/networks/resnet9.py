"""A short wide residual network that learns in few passes over the data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError
from layerwright.layers.activation.relu import ReLU
from layerwright.layers.convolution.conv2d import Conv2d
from layerwright.layers.convolution.conv_block import ConvBlock
from layerwright.layers.heads.classify_head import ClassifyHead
from layerwright.layers.normalization.batch_norm2d import BatchNorm2d
from layerwright.layers.pooling.max_pool2d import MaxPool2d
from layerwright.layers.residual.residual import Residual
from layerwright.networks.checked_arguments import check_batch, check_count, map_shape
from layerwright.networks.configuration import configured

torch.fx.wrap("check_batch")  # symbolic tracing records the call and leaves it to the run


@dataclass(frozen=True, kw_only=True)
class ResNet9Config:
    """The options of a `ResNet9`.

    Args:
        width: number of maps of the first convolution; the stages have 2, 4 and 8 times as many.
            64 is that of the reference, 32 takes about a quarter of the time.
        logit_scale: what the logits are multiplied with. Small logits at the start make the loss
            smooth enough for a large learning rate.
        mirrored: in evaluation, return the mean of the logits of each image and of its mirror
            image. It costs a second pass, and is for images whose class a mirror keeps.

    Raises:
        OptionError: `width` is below 1, or `logit_scale` not a positive number.
    """

    width: int = 32
    logit_scale: float = 0.125
    mirrored: bool = False

    def __post_init__(self) -> None:
        """Refuse impossible values here, so that every way to a network refuses them alike."""
        check_count("ResNet9", "width", self.width)
        if not 0 < self.logit_scale < float("inf"):
            raise OptionError(
                f"ResNet9 expected logit_scale to be a positive number, "
                f"received {self.logit_scale!r}."
            )


class ResNet9(nn.Module):
    r"""Eight convolutions, two pairs of them residual, and a linear layer.

        (C, H, W) -> conv, w -> stage, 2w -> residual -> stage, 4w -> stage, 8w -> residual
                  -> maximum over each map -> logits, scaled
        stage:    x -> conv -> pool 2 -> batch norm -> ReLU
        residual: x -> conv -> batch norm -> ReLU -> conv -> batch norm -> ReLU -> + x

    All kernels are 3x3 and padded. Pooling comes before batch norm and ReLU, which then have a
    quarter of the work.

    | tensor | shape               | note                                                    |
    | ------ | ------------------- | ------------------------------------------------------- |
    | `x`    | `(N, C, H, W)`      | `input_shape` is `(C, H, W)`, `H` and `W` at least 8    |
    | output | `(N, num_classes)`  | logits; the loss applies the softmax                    |

    Small images need no scaling (`image_size` is None): 8x8 leaves one value a map at the end.

    Args:
        input_shape: shape of one sample.
        num_classes: number of logits per sample.
        config: a `ResNet9Config`; None takes its default values.
        options: single values of it, such as `width=64`.

    Raises:
        OptionError: an option is unknown or impossible.
        ShapeError: `input_shape` does not fit; in forward, when the batch has another one.

    Example:
        >>> ResNet9((3, 32, 32), 10, width=16)(torch.randn(4, 3, 32, 32)).shape
        torch.Size([4, 10])

    Reference:
        Page (2018), "How to train your ResNet", https://github.com/davidcpage/cifar10-fast (with
        pooling after the activation); Jordan (2024), "94% on CIFAR-10 in 3.29 seconds on a single
        GPU", https://arxiv.org/abs/2404.00498 (pooling first, mirror images in evaluation)
    """

    image_size: ClassVar[int | None] = None

    def __init__(
        self,
        input_shape: Sequence[int] = (3, 32, 32),
        num_classes: int = 10,
        config: ResNet9Config | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.config = configured("ResNet9", ResNet9Config, config, options)
        check_count("ResNet9", "num_classes", num_classes)
        channels, height, wide = map_shape("ResNet9", input_shape, smallest=8)
        self.input_shape = (channels, height, wide)
        width = self.config.width
        self.stem = ConvBlock(channels, width, 3, padding=1)
        self.stage1 = _stage(width, 2 * width)
        self.residual1 = _residual(2 * width)
        self.stage2 = _stage(2 * width, 4 * width)
        self.stage3 = _stage(4 * width, 8 * width)
        self.residual3 = _residual(8 * width)
        self.head = ClassifyHead(8 * width, num_classes, pooling="max")

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of `x`, `(N, C, H, W)`."""
        check_batch("ResNet9", x, self.input_shape)
        logits = self._logits(x)
        if self.config.mirrored and not self.training:
            logits = (logits + self._logits(x.flip(-1))) / 2
        return logits

    def _logits(self, x: Tensor) -> Tensor:
        x = self.residual1(self.stage1(self.stem(x)))  # (N, 2 width, H // 2, W // 2)
        x = self.stage2(x)  # (N, 4 width, H // 4, W // 4)
        x = self.residual3(self.stage3(x))  # (N, 8 width, H // 8, W // 8)
        y: Tensor = self.head(x) * self.config.logit_scale  # (N, num_classes)
        return y


def _stage(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        Conv2d(in_channels, channels, 3, padding=1, bias=False),
        MaxPool2d(2),
        BatchNorm2d(channels),
        ReLU(),
    )


def _residual(channels: int) -> Residual:
    blocks = [ConvBlock(channels, channels, 3, padding=1) for _ in range(2)]
    return Residual(nn.Sequential(*blocks))
