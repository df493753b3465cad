"""A convolutional network whose only nonlinearity is gating."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError
from layerwright.layers.gating.gated_conv2d import GatedConv2d
from layerwright.layers.heads.classify_head import ClassifyHead
from layerwright.layers.normalization.batch_norm2d import BatchNorm2d
from layerwright.layers.pooling.avg_pool2d import AvgPool2d
from layerwright.layers.residual.residual import Residual
from layerwright.networks.checked_arguments import check_batch, check_count, map_shape
from layerwright.networks.configuration import configured

torch.fx.wrap("check_batch")  # symbolic tracing records the call and leaves it to the run


@dataclass(frozen=True, kw_only=True)
class GatedConvNetConfig:
    """The options of a `GatedConvNet`.

    Args:
        widths: number of maps in each stage; the maps of each but the first are half as large.
        num_blocks: residual blocks in each stage.
        dropout: probability that a value before the last layer is dropped in training.

    Raises:
        OptionError: there is no stage, or a number is below 1.
    """

    widths: tuple[int, ...] = (32, 64, 128)
    num_blocks: int = 1
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse impossible values here, so that every way to a network refuses them alike."""
        if not isinstance(self.widths, Sequence) or not self.widths:
            raise OptionError(
                f"GatedConvNet expected widths to hold a number for each stage, "
                f"received {self.widths!r}. Fix: widths=(32, 64, 128)"
            )
        for width in self.widths:
            check_count("GatedConvNet", "each of widths", width)
        check_count("GatedConvNet", "num_blocks", self.num_blocks)
        object.__setattr__(self, "widths", tuple(self.widths))  # a run folder gives back a list


class GatedConvNet(nn.Module):
    r"""Stages of residual gated convolutions, with the size of the maps halved in between.

        (C, H, W) -> gated conv, w_1 -> blocks -> pool 2 -> gated conv, w_2 -> blocks -> ...
                  -> batch norm -> mean over each map -> logits
        block: x -> batch norm -> gated conv -> + x

    All kernels are 3x3 and padded; pooling takes means. Each gated convolution is
    $(V * x + b) \odot \operatorname{sigmoid}(W * x + c)$: no other activation is there.

    | tensor | shape               | note                                                      |
    | ------ | ------------------- | --------------------------------------------------------- |
    | `x`    | `(N, C, H, W)`      | `input_shape` is `(C, H, W)`, `H` and `W` at least        |
    |        |                     | 2 to the power of the number of stages                    |
    | output | `(N, num_classes)`  | logits; the loss applies the softmax                      |

    Small images need no scaling (`image_size` is None).

    Args:
        input_shape: shape of one sample.
        num_classes: number of logits per sample.
        config: a `GatedConvNetConfig`; None takes its default values.
        options: single values of it, such as `num_blocks=2`.

    Raises:
        OptionError: an option is unknown or impossible.
        ShapeError: `input_shape` does not fit; in forward, when the batch has another one.

    Example:
        >>> GatedConvNet((3, 32, 32), 10, widths=(16, 32))(torch.randn(4, 3, 32, 32)).shape
        torch.Size([4, 10])

    Reference:
        Dauphin et al. (2017), "Language modeling with gated convolutional networks",
        https://arxiv.org/abs/1612.08083 (gated convolutions in residual blocks, there over text)
    """

    image_size: ClassVar[int | None] = None

    def __init__(
        self,
        input_shape: Sequence[int] = (3, 32, 32),
        num_classes: int = 10,
        config: GatedConvNetConfig | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.config = configured("GatedConvNet", GatedConvNetConfig, config, options)
        check_count("GatedConvNet", "num_classes", num_classes)
        widths = self.config.widths
        channels, height, wide = map_shape("GatedConvNet", input_shape, smallest=2 ** len(widths))
        self.input_shape = (channels, height, wide)
        self.stages = nn.Sequential()
        for number, width in enumerate(widths):
            if number:
                self.stages.append(AvgPool2d(2))
            self.stages.append(GatedConv2d(channels, width, 3, padding=1))
            for _ in range(self.config.num_blocks):
                branch = GatedConv2d(width, width, 3, padding=1)
                self.stages.append(Residual(branch, norm=BatchNorm2d(width)))
            channels = width
        self.norm = BatchNorm2d(channels)
        self.head = ClassifyHead(channels, num_classes, dropout=self.config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of `x`, `(N, C, H, W)`."""
        check_batch("GatedConvNet", x, self.input_shape)
        y: Tensor = self.head(self.norm(self.stages(x)))  # (N, num_classes)
        return y
