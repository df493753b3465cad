"""Classification and location of several objects, over convolution maps."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError
from layerwright.layers.convolution.conv2d import Conv2d
from layerwright.layers.heads.boxes import checked_sizes
from layerwright.layers.heads.classify_head import check_channels

torch.fx.wrap("check_channels")  # symbolic tracing records the call and leaves it to the run


class ClassifyAndLocateHead(nn.Module):
    r"""For each cell of the map and each anchor: which class is there, and in which box.

    $$ s = w_s \star x + b_s, \qquad t = w_t \star x + b_t, \qquad
       P(\text{class } k \text{ at anchor } a \text{ of cell } i, j) =
       \operatorname{softmax}(s_{ija})_k $$

    An anchor is a box of a given size around the centre of its cell; t describes the box found
    relative to it, as `layers.heads.boxes.encode` says. The last class is the background: nothing
    is there. `ClassifyAndLocateLoss` trains both outputs, `detections` turns them into boxes; both
    need the same anchors.

    | tensor  | shape                               | note                                       |
    | ------- | ----------------------------------- | ------------------------------------------ |
    | `x`     | `(N, in_channels, H, W)`, or no `N` | floating point                             |
    | scores  | `(N, H, W, A, num_classes + 1)`     | logits of the classes and the background   |
    | offsets | `(N, H, W, A, 4)`                   | of the box's centre, and logarithms of its |
    |         |                                     | width and height, relative to the anchor's |

    Without `N` coming in there is none in the outputs.

    Args:
        in_channels: number of maps that come in.
        num_classes: number of classes, the background not counted.
        anchors: (height, width) of each of the A anchors, as shares of the image; one pair is one
            box a cell.
        kernel_size: height and width of the region that each cell sees; odd.
        device: where the parameters live.
        dtype: type of the parameters.

    Raises:
        OptionError: a number is impossible, or the anchors are no pairs of positive numbers.
        ShapeError: in forward, when `x` has other dims or channels, or maps without a value.

    Example:
        >>> head = ClassifyAndLocateHead(64, 10, anchors=[(0.2, 0.2), (0.4, 0.2)])
        >>> scores, offsets = head(torch.randn(8, 64, 7, 7))
        >>> scores.shape, offsets.shape
        (torch.Size([8, 7, 7, 2, 11]), torch.Size([8, 7, 7, 2, 4]))

    Reference:
        Liu et al. (2016), "SSD: single shot multibox detector", section 2.1,
        https://arxiv.org/abs/1512.02325
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        anchors: Sequence[Sequence[float]],
        *,
        kernel_size: int = 3,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("in_channels", in_channels), ("num_classes", num_classes)):
            if type(value) is not int or value < 1:
                raise OptionError(
                    f"ClassifyAndLocateHead expected {name} to be a whole number from 1, "
                    f"received {value!r}."
                )
        if type(kernel_size) is not int or kernel_size < 1 or kernel_size % 2 == 0:
            raise OptionError(
                f"ClassifyAndLocateHead expected kernel_size to be an odd number from 1, "
                f"received {kernel_size!r}."
            )
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.anchors = checked_sizes("ClassifyAndLocateHead", anchors)
        self.scores, self.offsets = (
            Conv2d(
                in_channels,
                len(self.anchors) * values,
                kernel_size,
                padding=kernel_size // 2,
                device=device,
                dtype=dtype,
            )
            for values in (num_classes + 1, 4)
        )

    def reset_parameters(self) -> None:
        """Draw the weights anew, as `Conv2d` does."""
        self.scores.reset_parameters()
        self.offsets.reset_parameters()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores and offsets for `x`, `(N, in_channels, H, W)` or without `N`."""
        check_channels("ClassifyAndLocateHead", x, self.in_channels)
        num_anchors = len(self.anchors)
        scores = self.scores(x).movedim(-3, -1).unflatten(-1, (num_anchors, self.num_classes + 1))
        offsets = self.offsets(x).movedim(-3, -1).unflatten(-1, (num_anchors, 4))
        return scores, offsets

    def extra_repr(self) -> str:
        """Arguments shown by `print(layer)` that its steps do not show."""
        return f"num_classes={self.num_classes}, anchors={self.anchors}"
