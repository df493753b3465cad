"""A bag of n-grams: logistic regression on which n-grams a text holds."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from layerwright.networks.checked_arguments import check_counts
from layerwright.networks.text_inputs import PADDING, example_texts, without_padding

torch.fx.wrap("without_padding")  # symbolic tracing records the call and leaves it to the run


class BagOfNgrams(nn.Module):
    r"""Add up one weight for each n-gram and class.

    $$ z = \frac{1}{\sqrt{n}} \sum_{i=1}^{n} w_{t_i} + b $$

    Where the tokens are the set of a text's n-grams (`text_options={"ngrams": 3}`), each of them
    a column of zeros and ones, this is logistic regression on rows of length one: dividing by
    the root of the number n of tokens is dividing by the row's norm. Short and long texts thus
    have logits of one scale.

    All weights start at zero, as they may in a linear model: n-grams that training never saw say
    nothing. `weights.weight` has a row for each token, to be read: what speaks for a class.

    | tensor    | shape              | note                                                 |
    | --------- | ------------------ | ---------------------------------------------------- |
    | `tokens`  | `(N, L)`           | whole numbers from 0 to `vocabulary_size - 1`        |
    | `lengths` | `(N,)`             | number of tokens of each text; 0 is allowed          |
    | output    | `(N, num_classes)` | logits; the bias alone for an empty text             |

    Args:
        vocabulary_size: one more than the largest token.
        num_classes: number of logits per text.

    Raises:
        OptionError: a number is below 1.
        ShapeError: in forward, when tokens or lengths have another shape or dtype.

    Example:
        >>> BagOfNgrams(1000)(torch.randint(1000, (4, 20)), torch.tensor([20, 7, 1, 0])).shape
        torch.Size([4, 2])

    Reference:
        Wang and Manning (2012), "Baselines and bigrams: simple, good sentiment and topic
        classification", https://aclanthology.org/P12-2018 (which n-grams, not how often).
    """

    image_size: ClassVar[int | None] = None

    def __init__(self, vocabulary_size: int, num_classes: int = 2) -> None:
        super().__init__()
        check_counts("BagOfNgrams", vocabulary_size=vocabulary_size, num_classes=num_classes)
        self.weights = nn.Embedding(vocabulary_size, num_classes, padding_idx=PADDING)
        self.bias = nn.Parameter(torch.empty(num_classes))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set all weights and biases to zero."""
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.bias)

    def example_inputs(self) -> tuple[Tensor, Tensor]:
        """Tokens and lengths of drawn texts, for a look at the network by its name."""
        return example_texts(self.weights.num_embeddings)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the logits of texts, tokens `(N, L)`; without `lengths` none is padded."""
        tokens, exists = without_padding("BagOfNgrams", tokens, lengths)
        rows = self.weights(tokens).masked_fill(~exists.unsqueeze(-1), 0)  # (N, L + 1, classes)
        counts = exists.sum(1, keepdim=True).clamp(min=1)
        return rows.sum(1) / counts.to(rows.dtype).sqrt() + self.bias
