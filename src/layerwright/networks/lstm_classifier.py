"""A classifier of sequences that reads them once, from the first step to the last."""

from typing import ClassVar

from torch import Tensor, nn

from layerwright.layers.linear.linear import Linear
from layerwright.layers.recurrent.lstm import LSTM
from layerwright.networks.checked_arguments import check_counts
from layerwright.networks.text_inputs import example_texts


class LSTMClassifier(nn.Module):
    r"""Embed the tokens of each sequence, read it step by step, classify the last state.

        (T,) -> embed, e -> LSTM, h -> state after the last step -> logits

    | tensor    | shape              | note                                                       |
    | --------- | ------------------ | ---------------------------------------------------------- |
    | `tokens`  | `(N, T)`           | int64                                                      |
    | `lengths` | `(N,)`             | number of tokens that exist, the first ones; None for all  |
    | output    | `(N, num_classes)` | logits; the loss applies the softmax                       |

    What stands behind the end of a sequence has no effect. A sequence of length 0 gets the answer
    to a state of zero.

    Args:
        vocabulary_size: number of different tokens.
        num_classes: number of logits per sequence.
        embed_dim: number of features of a token.
        hidden_size: number of features of the state.
        num_layers: number of LSTM layers, one on another.
        dropout: probability to drop a value between two layers, in training.

    Raises:
        OptionError: a number is below 1, or dropout lies outside [0, 1].
        ShapeError: in forward, when the inputs have other shapes.

    Example:
        >>> network = LSTMClassifier(10, 5)
        >>> network(torch.tensor([[6, 1, 2, 0]]), torch.tensor([3])).shape
        torch.Size([1, 5])

    Reference:
        Hochreiter and Schmidhuber (1997), "Long short-term memory", Neural Computation 9.
    """

    image_size: ClassVar[int | None] = None

    def __init__(
        self,
        vocabulary_size: int,
        num_classes: int,
        *,
        embed_dim: int = 32,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_counts(
            "LSTMClassifier",
            vocabulary_size=vocabulary_size,
            num_classes=num_classes,
            embed_dim=embed_dim,
            hidden_size=hidden_size,
        )
        self.embedding = nn.Embedding(vocabulary_size, embed_dim)
        self.lstm = LSTM(embed_dim, hidden_size, num_layers, dropout=dropout)
        self.output = Linear(hidden_size, num_classes)

    def example_inputs(self) -> tuple[Tensor, Tensor]:
        """Tokens and lengths of drawn texts, for a look at the network by its name."""
        return example_texts(self.embedding.num_embeddings)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the logits of the sequences, `(N, num_classes)`.

        Args:
            tokens: (N, T).
            lengths: (N,), or None.
        """
        _, (h, _) = self.lstm(self.embedding(tokens), lengths)  # (num_layers, N, hidden_size)
        return self.output(h[-1])
