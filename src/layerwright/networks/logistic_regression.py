"""Logistic regression."""

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError
from layerwright.layers.linear.linear import Linear
from layerwright.networks.checked_arguments import check_batch, sample_shape

torch.fx.wrap("check_batch")  # symbolic tracing records the call and leaves it to the run


class LogisticRegression(nn.Module):
    r"""Tell two classes apart by one weighted sum of the features.

    $$ z = w \cdot x + b, \qquad P(\text{class } 1 \mid x) = \frac{1}{1 + e^{-z}} $$

    The output is the logit z, one per sample; the loss (binary cross-entropy with logits) applies
    the sigmoid.

    | tensor | shape               | note                                            |
    | ------ | ------------------- | ----------------------------------------------- |
    | `x`    | `(N, *input_shape)` | flattened sample by sample                      |
    | output | `(N,)`              | logits; above 0 the prediction is class 1       |

    Args:
        input_shape: shape of one sample.
        num_classes: 2, or 1 for the one logit that tells them apart; the argument is there because
            every classifier has it.

    Raises:
        OptionError: `num_classes` is neither.
        ShapeError: `input_shape` is no shape; in forward, when the batch has another one.

    Example:
        >>> LogisticRegression((30,))(torch.randn(64, 30)).shape
        torch.Size([64])

    Reference:
        Cox (1958), "The regression analysis of binary sequences", JRSS B 20.
    """

    image_size: ClassVar[int | None] = None

    def __init__(self, input_shape: Sequence[int] = (1, 28, 28), num_classes: int = 2) -> None:
        super().__init__()
        if num_classes not in {1, 2}:
            raise OptionError(
                f"LogisticRegression expected num_classes=2 (or 1), received {num_classes!r}. "
                f"Fix: use softmax-classifier, its form for more classes."
            )
        self.input_shape = sample_shape("LogisticRegression", input_shape)
        self.linear = Linear(prod(self.input_shape), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logit of class 1 for each sample of `x`, `(N, *input_shape)`."""
        check_batch("LogisticRegression", x, self.input_shape)
        return self.linear(x.flatten(1)).squeeze(1)  # (N, 1) -> (N,)
