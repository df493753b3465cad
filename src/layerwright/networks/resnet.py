"""The residual network for small images."""

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
from layerwright.layers.residual.padded_shortcut import PaddedShortcut
from layerwright.layers.residual.residual import Residual
from layerwright.networks.checked_arguments import check_batch, check_count, map_shape
from layerwright.networks.configuration import configured

torch.fx.wrap("check_batch")  # symbolic tracing records the call and leaves it to the run


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """The options of a `ResNet`.

    Args:
        depth: number of layers with weights on the longest path, 6n + 2: 8, 14, 20, 32, 44, 56,
            110, ...; n is the number of residual blocks in each of the three stages.
        width: number of maps in the first stage; the others have 2 and 4 times as many.

    Raises:
        OptionError: `depth` is not 6n + 2 with n from 1, or `width` is below 1.
    """

    depth: int = 20
    width: int = 16

    def __post_init__(self) -> None:
        """Refuse impossible values here, so that every way to a network refuses them alike."""
        check_count("ResNet", "depth", self.depth, least=8)
        if self.depth % 6 != 2:
            raise OptionError(
                f"ResNet expected depth to be 6n + 2, such as 20, 32, 44 or 56, "
                f"received {self.depth!r}."
            )
        check_count("ResNet", "width", self.width)

    @property
    def blocks_per_stage(self) -> int:
        """The n of 6n + 2."""
        return (self.depth - 2) // 6


class ResNet(nn.Module):
    r"""Three stages of residual blocks at full, half and a quarter of the size.

        (C, H, W) -> conv 3x3, w -> batch norm -> ReLU
                  -> n blocks, w maps -> n blocks, 2w maps, stride 2 -> n blocks, 4w maps, stride 2
                  -> mean over each map -> logits
        block: x -> conv 3x3 -> batch norm -> ReLU -> conv 3x3 -> batch norm -> + x -> ReLU

    Where a stage begins, the first convolution has stride 2, and what is added to the branch is
    every second row and column of `x`, with channels of zeros (`PaddedShortcut`): the shortcuts
    learn nothing.

    | tensor | shape               | note                                                    |
    | ------ | ------------------- | ------------------------------------------------------- |
    | `x`    | `(N, C, H, W)`      | `input_shape` is `(C, H, W)`, `H` and `W` at least 8    |
    | output | `(N, num_classes)`  | logits; the loss applies the softmax                    |

    Small images need no scaling (`image_size` is None).

    Args:
        input_shape: shape of one sample.
        num_classes: number of logits per sample.
        config: a `ResNetConfig`; None takes its default values.
        options: single values of it, such as `depth=56`.

    Raises:
        OptionError: an option is unknown or impossible.
        ShapeError: `input_shape` does not fit; in forward, when the batch has another one.

    Example:
        >>> ResNet((3, 32, 32), 10, depth=32)(torch.randn(4, 3, 32, 32)).shape
        torch.Size([4, 10])

    Reference:
        He et al. (2015), "Deep residual learning for image recognition", section 4.2,
        https://arxiv.org/abs/1512.03385
    """

    image_size: ClassVar[int | None] = None

    def __init__(
        self,
        input_shape: Sequence[int] = (3, 32, 32),
        num_classes: int = 10,
        config: ResNetConfig | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.config = configured("ResNet", ResNetConfig, config, options)
        check_count("ResNet", "num_classes", num_classes)
        channels, height, wide = map_shape("ResNet", input_shape, smallest=8)
        self.input_shape = (channels, height, wide)
        width, num_blocks = self.config.width, self.config.blocks_per_stage
        self.stem = ConvBlock(channels, width, 3, padding=1)
        self.stage1 = _stage(width, width, num_blocks, stride=1)
        self.stage2 = _stage(width, 2 * width, num_blocks, stride=2)
        self.stage3 = _stage(2 * width, 4 * width, num_blocks, stride=2)
        self.head = ClassifyHead(4 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of `x`, `(N, C, H, W)`."""
        check_batch("ResNet", x, self.input_shape)
        x = self.stage1(self.stem(x))  # (N, width, H, W)
        x = self.stage2(x)  # (N, 2 width, H / 2, W / 2)
        x = self.stage3(x)  # (N, 4 width, H / 4, W / 4)
        y: Tensor = self.head(x)  # (N, num_classes)
        return y


def _stage(in_channels: int, channels: int, num_blocks: int, *, stride: int) -> nn.Sequential:
    first = _block(in_channels, channels, stride)
    return nn.Sequential(*first, *(step for _ in range(1, num_blocks) for step in _block(channels)))


def _block(in_channels: int, channels: int | None = None, stride: int = 1) -> list[nn.Module]:
    """Return a residual sum and the activation that follows it."""
    channels = in_channels if channels is None else channels
    branch = nn.Sequential(
        ConvBlock(in_channels, channels, 3, stride=stride, padding=1),
        Conv2d(channels, channels, 3, padding=1, bias=False),
        BatchNorm2d(channels),
    )
    keeps_shape = stride == 1 and in_channels == channels
    shortcut = None if keeps_shape else PaddedShortcut(in_channels, channels, stride)
    return [Residual(branch, shortcut=shortcut), ReLU()]
