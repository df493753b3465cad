"""A recurrent network for texts, which reads them from both ends."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from layerwright.layers.attention.additive_attention_pooling import AdditiveAttentionPooling
from layerwright.layers.linear.linear import Linear
from layerwright.layers.recurrent.bilstm import BiLSTM
from layerwright.layers.regularization.dropout import Dropout
from layerwright.networks.checked_arguments import check_counts
from layerwright.networks.text_inputs import example_texts, without_padding
from layerwright.networks.word_embedding import WordEmbedding

torch.fx.wrap("without_padding")  # symbolic tracing records the call and leaves it to the run


class TextBiLSTM(nn.Module):
    r"""Read a text from both ends, and weigh what was read at each word.

        tokens -> embedding -> dropout -> BiLSTM -> additive attention pooling -> dropout -> logits

    | tensor    | shape              | note                                                 |
    | --------- | ------------------ | ---------------------------------------------------- |
    | `tokens`  | `(N, L)`           | whole numbers from 0 to `vocabulary_size - 1`        |
    | `lengths` | `(N,)`             | number of tokens of each text; 0 is allowed          |
    | output    | `(N, num_classes)` | logits; the bias alone for an empty text             |

    Args:
        vocabulary_size: one more than the largest token.
        num_classes: number of logits per text.
        embed_dim: number of features of a word.
        hidden_size: number of features of the state, in each direction.
        num_layers: number of BiLSTM layers.
        dropout: probability that a feature is dropped in training.

    Raises:
        OptionError: a number is below 1, or `dropout` is no probability.
        ShapeError: in forward, when tokens or lengths have another shape or dtype.

    Example:
        >>> TextBiLSTM(1000)(torch.randint(1000, (4, 20)), torch.tensor([20, 7, 1, 0])).shape
        torch.Size([4, 2])

    Reference:
        Zhou et al. (2016), "Attention-based bidirectional long short-term memory networks for
        relation classification", https://aclanthology.org/P16-2034
    """

    image_size: ClassVar[int | None] = None

    def __init__(
        self,
        vocabulary_size: int,
        num_classes: int = 2,
        *,
        embed_dim: int = 100,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_counts(
            "TextBiLSTM",
            vocabulary_size=vocabulary_size,
            num_classes=num_classes,
            embed_dim=embed_dim,
            hidden_size=hidden_size,
            num_layers=num_layers,
        )
        self.embedding = WordEmbedding(vocabulary_size, embed_dim)
        self.dropout = Dropout(dropout)
        self.bilstm = BiLSTM(embed_dim, hidden_size, num_layers, dropout=dropout)
        self.pooling = AdditiveAttentionPooling(2 * hidden_size, hidden_size)
        self.output = Linear(2 * hidden_size, num_classes)

    def example_inputs(self) -> tuple[Tensor, Tensor]:
        """Tokens and lengths of drawn texts, for a look at the network by its name."""
        return example_texts(self.embedding.num_embeddings)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the logits of texts, tokens `(N, L)`; without `lengths` none is padded."""
        tokens, exists = without_padding("TextBiLSTM", tokens, lengths)
        words = self.dropout(self.embedding(tokens))  # (N, L + 1, embed_dim)
        read, _ = self.bilstm(words, mask=exists)  # (N, L + 1, 2 hidden_size)
        text = self.pooling(read, key_padding_mask=~exists)  # (N, 2 hidden_size)
        return self.output(self.dropout(text))
