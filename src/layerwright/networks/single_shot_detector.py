"""A network that classifies and locates several objects in one pass."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from layerwright.layers.convolution.conv_block import ConvBlock
from layerwright.layers.heads.classify_and_locate_head import ClassifyAndLocateHead
from layerwright.layers.heads.classify_and_locate_loss import ClassifyAndLocateLoss
from layerwright.layers.heads.detections import Detections, detections
from layerwright.networks.checked_arguments import check_batch, check_count, map_shape

torch.fx.wrap("check_batch")  # symbolic tracing records the call and leaves it to the run

Anchors = Sequence[Sequence[float]]


class SingleShotDetector(nn.Module):
    r"""Four padded 3x3 convolutions, and over their map a head with two outputs.

        (C, H, W) -> conv, w -> pool 2 -> conv, 2w -> pool 2 -> conv, 4w -> conv, 4w
                  -> scores (H // 4, W // 4, A, num_classes + 1), offsets (H // 4, W // 4, A, 4)

    Each convolution is followed by batch norm and ReLU; w is `width`. `ClassifyAndLocateHead` says
    what the outputs mean: for each of A anchors at each cell, which class is there, or none, and
    where its box lies. The anchors decide the loss and the reading of the outputs too, so the
    network brings both: `detection_loss` and `detections`.

    | tensor  | shape                                   | note                                     |
    | ------- | --------------------------------------- | ---------------------------------------- |
    | `x`     | `(N, C, H, W)`                          | `input_shape` is `(C, H, W)`, `H` and    |
    |         |                                         | `W` at least 4                           |
    | scores  | `(N, H // 4, W // 4, A, num_classes+1)` | logits; the last class is the background |
    | offsets | `(N, H // 4, W // 4, A, 4)`             | of the boxes, relative to the anchors    |
    | target  | `(N, K, 5)`                             | class, left, top, right, bottom of each  |
    |         |                                         | object, in shares of the image; class -1 |
    |         |                                         | fills up                                 |

    Small images need no scaling (`image_size` is None).

    Args:
        input_shape: shape of one sample.
        num_classes: number of classes, the background not counted.
        width: number of maps of the first convolution.
        anchors: (height, width) of each anchor, as shares of the image; near the sizes of the
            objects that are to be found.

    Raises:
        OptionError: `num_classes` or `width` is below 1, or the anchors are no pairs of positive
            numbers.
        ShapeError: `input_shape` does not fit; in forward, when the batch has another one.

    Example:
        >>> scores, offsets = SingleShotDetector((1, 40, 40), 10)(torch.randn(2, 1, 40, 40))
        >>> scores.shape, offsets.shape
        (torch.Size([2, 10, 10, 2, 11]), torch.Size([2, 10, 10, 2, 4]))

    Reference:
        Liu et al. (2016), "SSD: single shot multibox detector", https://arxiv.org/abs/1512.02325
        (with one map in place of six: all objects are of about one size).
    """

    image_size: ClassVar[int | None] = None

    def __init__(
        self,
        input_shape: Sequence[int] = (1, 40, 40),
        num_classes: int = 10,
        *,
        width: int = 16,
        anchors: Anchors = ((0.28, 0.18), (0.38, 0.24)),
    ) -> None:
        super().__init__()
        check_count("SingleShotDetector", "num_classes", num_classes)
        check_count("SingleShotDetector", "width", width)
        channels, height, wide = map_shape("SingleShotDetector", input_shape, smallest=4)
        self.input_shape = (channels, height, wide)
        self.block1 = ConvBlock(channels, width, 3, padding=1, pooling="max")
        self.block2 = ConvBlock(width, 2 * width, 3, padding=1, pooling="max")
        self.block3 = ConvBlock(2 * width, 4 * width, 3, padding=1)
        self.block4 = ConvBlock(4 * width, 4 * width, 3, padding=1)
        self.head = ClassifyAndLocateHead(4 * width, num_classes, anchors)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores and offsets for `x`, `(N, C, H, W)`."""
        check_batch("SingleShotDetector", x, self.input_shape)
        x = self.block2(self.block1(x))  # (N, 2 width, H // 4, W // 4)
        x = self.block4(self.block3(x))  # (N, 4 width, H // 4, W // 4)
        return self.head(x)

    def detection_loss(self, output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        """Return the loss of the outputs for the objects that are there, a scalar.

        Args:
            output: scores and offsets.
            target: (N, K, 5).
        """
        wanted = target[..., 0].long(), target[..., 1:]
        return ClassifyAndLocateLoss(self.head.anchors)(output, wanted)

    def detections(
        self, output: tuple[Tensor, Tensor], *, score_threshold: float = 0.5
    ) -> list[Detections]:
        """Return the objects found in each image: boxes, classes and scores, the surest first.

        Args:
            output: scores and offsets.
            score_threshold: probability from which an object is reported.
        """
        return detections(output, self.head.anchors, score_threshold=score_threshold)
