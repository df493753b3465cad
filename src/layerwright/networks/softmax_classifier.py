"""Softmax (multinomial logistic) regression."""

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import torch
from torch import Tensor, nn

from layerwright.layers.linear.linear import Linear
from layerwright.networks.checked_arguments import check_batch, check_count, sample_shape

torch.fx.wrap("check_batch")  # symbolic tracing records the call and leaves it to the run


class SoftmaxClassifier(nn.Module):
    r"""Choose among classes by one weighted sum of the features for each.

    $$ z = W x + b, \qquad P(\text{class } k \mid x) = \frac{e^{z_k}}{\sum_j e^{z_j}} $$

    The output are the logits z; the loss (cross-entropy) applies the softmax.

    | tensor | shape               | note                       |
    | ------ | ------------------- | -------------------------- |
    | `x`    | `(N, *input_shape)` | flattened sample by sample |
    | output | `(N, num_classes)`  | logits                     |

    Args:
        input_shape: shape of one sample.
        num_classes: the number of classes, at least 2.

    Raises:
        OptionError: `num_classes` is below 2.
        ShapeError: `input_shape` is no shape; in forward, when the batch has another one.

    Example:
        >>> SoftmaxClassifier((1, 28, 28), 10)(torch.randn(64, 1, 28, 28)).shape
        torch.Size([64, 10])

    Reference:
        Bishop (2006), "Pattern Recognition and Machine Learning", section 4.3.4.
    """

    image_size: ClassVar[int | None] = None

    def __init__(self, input_shape: Sequence[int] = (1, 28, 28), num_classes: int = 10) -> None:
        super().__init__()
        check_count("SoftmaxClassifier", "num_classes", num_classes, least=2)
        self.input_shape = sample_shape("SoftmaxClassifier", input_shape)
        self.linear = Linear(prod(self.input_shape), num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of `x`, `(N, *input_shape)`."""
        check_batch("SoftmaxClassifier", x, self.input_shape)
        return self.linear(x.flatten(1))  # (N, num_classes)
