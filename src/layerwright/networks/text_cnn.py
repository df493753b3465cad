"""A convolutional network for texts."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerwright.layers.linear.linear import Linear
from layerwright.layers.regularization.dropout import Dropout
from layerwright.networks.checked_arguments import check_count, check_counts
from layerwright.networks.text_inputs import example_texts, without_padding
from layerwright.networks.word_embedding import WordEmbedding

torch.fx.wrap("without_padding")  # symbolic tracing records the call and leaves it to the run


class TextCNN(nn.Module):
    r"""Look for patterns of a few words, wherever they stand.

        tokens -> embedding -> dropout -> for each width k: conv k -> ReLU -> max over the text
               -> dropout -> logits

    A window of k words is centred at each word of the text, with zeros where it hangs over. Since
    nothing is below zero after the ReLU, a text without words gives zeros.

    | tensor    | shape              | note                                                 |
    | --------- | ------------------ | ---------------------------------------------------- |
    | `tokens`  | `(N, L)`           | whole numbers from 0 to `vocabulary_size - 1`        |
    | `lengths` | `(N,)`             | number of tokens of each text; 0 is allowed          |
    | output    | `(N, num_classes)` | logits                                               |

    Args:
        vocabulary_size: one more than the largest token.
        num_classes: number of logits per text.
        embed_dim: number of features of a word.
        kernel_sizes: widths of the windows, in words.
        num_maps: patterns of each width.
        dropout: probability that a feature is dropped in training.

    Raises:
        OptionError: a number is below 1, there is no width, or `dropout` is no probability.
        ShapeError: in forward, when tokens or lengths have another shape or dtype.

    Example:
        >>> TextCNN(1000)(torch.randint(1000, (4, 20)), torch.tensor([20, 7, 1, 0])).shape
        torch.Size([4, 2])

    Reference:
        Kim (2014), "Convolutional neural networks for sentence classification",
        https://arxiv.org/abs/1408.5882 (his "CNN-rand": words start at random).
    """

    image_size: ClassVar[int | None] = None

    def __init__(
        self,
        vocabulary_size: int,
        num_classes: int = 2,
        *,
        embed_dim: int = 100,
        kernel_sizes: Sequence[int] = (3, 4, 5),
        num_maps: int = 100,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_counts(
            "TextCNN",
            vocabulary_size=vocabulary_size,
            num_classes=num_classes,
            embed_dim=embed_dim,
            num_maps=num_maps,
        )
        check_count("TextCNN", "the number of kernel_sizes", len(kernel_sizes))
        for size in kernel_sizes:
            check_count("TextCNN", "each of kernel_sizes", size)
        self.kernel_sizes = tuple(kernel_sizes)
        self.embedding = WordEmbedding(vocabulary_size, embed_dim)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(embed_dim, num_maps, size) for size in kernel_sizes
        )
        self.dropout = Dropout(dropout)
        self.output = Linear(num_maps * len(kernel_sizes), num_classes)

    def example_inputs(self) -> tuple[Tensor, Tensor]:
        """Tokens and lengths of drawn texts, for a look at the network by its name."""
        return example_texts(self.embedding.num_embeddings)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the logits of texts, tokens `(N, L)`; without `lengths` none is padded."""
        tokens, exists = without_padding("TextCNN", tokens, lengths)
        words = self.embedding(tokens).masked_fill(~exists.unsqueeze(-1), 0)
        words = self.dropout(words).transpose(1, 2)  # (N, embed_dim, L + 1)
        found = []
        for convolution, size in zip(self.convolutions, self.kernel_sizes, strict=True):
            windows = F.pad(words, ((size - 1) // 2, size // 2))
            maps = convolution(windows).relu().masked_fill(~exists.unsqueeze(1), 0)
            found.append(maps.amax(2))  # (N, num_maps)
        return self.output(self.dropout(torch.cat(found, 1)))
