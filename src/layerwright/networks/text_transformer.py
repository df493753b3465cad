"""A small Transformer encoder for texts."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from layerwright.layers.attention.additive_attention_pooling import AdditiveAttentionPooling
from layerwright.layers.attention.attention import Attention
from layerwright.layers.attention.rotary_positions import RotaryPositions
from layerwright.layers.gating.gated_linear_unit import GatedLinearUnit
from layerwright.layers.linear.linear import Linear
from layerwright.layers.normalization.layer_norm import LayerNorm
from layerwright.layers.regularization.dropout import Dropout
from layerwright.layers.residual.residual import Residual
from layerwright.networks.checked_arguments import check_counts
from layerwright.networks.text_inputs import example_texts, without_padding
from layerwright.networks.word_embedding import WordEmbedding

torch.fx.wrap("without_padding")  # symbolic tracing records the call and leaves it to the run


class TextTransformer(nn.Module):
    r"""Let the words of a text look at each other, a few times, and weigh what they saw.

        tokens -> embedding -> dropout
               -> num_layers times: + attention(norm(x)), + SwiGLU(norm(x))
               -> norm -> additive attention pooling -> dropout -> logits

    Positions enter as rotations of queries and keys: there is no longest text, though the time
    grows with the square of the length.

    | tensor    | shape              | note                                                 |
    | --------- | ------------------ | ---------------------------------------------------- |
    | `tokens`  | `(N, L)`           | whole numbers from 0 to `vocabulary_size - 1`        |
    | `lengths` | `(N,)`             | number of tokens of each text; 0 is allowed          |
    | output    | `(N, num_classes)` | logits; the bias alone for an empty text             |

    Args:
        vocabulary_size: one more than the largest token.
        num_classes: number of logits per text.
        embed_dim: number of features of a word.
        num_heads: number of heads; divides embed_dim into even parts.
        num_layers: number of pairs of attention and SwiGLU.
        dropout: probability that a feature, or a weight of the attention, is dropped in training.

    Raises:
        OptionError: a number is below 1 or does not divide as it should, or `dropout` is no
            probability below 1.
        ShapeError: in forward, when tokens or lengths have another shape or dtype.

    Example:
        >>> TextTransformer(1000)(torch.randint(1000, (4, 20)), torch.tensor([20, 7, 1, 0])).shape
        torch.Size([4, 2])

    Reference:
        Vaswani et al. (2017), "Attention is all you need", https://arxiv.org/abs/1706.03762;
        `Residual`, `RotaryPositions` and `GatedLinearUnit` name the sources of the rest.
    """

    image_size: ClassVar[int | None] = None

    def __init__(
        self,
        vocabulary_size: int,
        num_classes: int = 2,
        *,
        embed_dim: int = 64,
        num_heads: int = 4,
        num_layers: int = 2,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        check_counts(
            "TextTransformer",
            vocabulary_size=vocabulary_size,
            num_classes=num_classes,
            embed_dim=embed_dim,
            num_heads=num_heads,
            num_layers=num_layers,
        )
        self.embedding = WordEmbedding(vocabulary_size, embed_dim)
        self.dropout = Dropout(dropout)
        self.attentions = nn.ModuleList()
        self.feed_forwards = nn.ModuleList()
        for _ in range(num_layers):
            rotary = RotaryPositions(embed_dim // num_heads)
            attention = Attention(embed_dim, num_heads, dropout=dropout, rotary=rotary)
            feed_forward = nn.Sequential(GatedLinearUnit(embed_dim), Dropout(dropout))
            self.attentions.append(Residual(attention, norm=LayerNorm(embed_dim)))
            self.feed_forwards.append(Residual(feed_forward, norm=LayerNorm(embed_dim)))
        self.norm = LayerNorm(embed_dim)
        self.pooling = AdditiveAttentionPooling(embed_dim, embed_dim)
        self.output = Linear(embed_dim, num_classes)

    def example_inputs(self) -> tuple[Tensor, Tensor]:
        """Tokens and lengths of drawn texts, for a look at the network by its name."""
        return example_texts(self.embedding.num_embeddings)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the logits of texts, tokens `(N, L)`; without `lengths` none is padded."""
        tokens, exists = without_padding("TextTransformer", tokens, lengths)
        x = self.dropout(self.embedding(tokens))  # (N, L + 1, embed_dim)
        for attention, feed_forward in zip(self.attentions, self.feed_forwards, strict=True):
            x = feed_forward(attention(x, key_padding_mask=~exists))
        text = self.pooling(self.norm(x), key_padding_mask=~exists)  # (N, embed_dim)
        return self.output(self.dropout(text))
