"""The table of words that text networks begin with."""

import torch
from torch import nn

from layerwright.networks.text_inputs import PADDING


class WordEmbedding(nn.Embedding):
    """A table of words whose features start as `N(0, 0.1^2)`; padding is all zeros, and stays so.

    The `N(0, 1)` of `nn.Embedding` hides what is learned: a word that is met a few times moves by a
    few learning rates, which is little beside what was drawn for it.

    | tensor   | shape            | note                                              |
    | -------- | ---------------- | ------------------------------------------------- |
    | `tokens` | any              | whole numbers from 0 to `vocabulary_size - 1`     |
    | output   | `(*, embed_dim)` |                                                   |

    Args:
        vocabulary_size: one more than the largest token.
        embed_dim: number of features of a word.
    """

    def __init__(self, vocabulary_size: int, embed_dim: int) -> None:
        super().__init__(vocabulary_size, embed_dim, padding_idx=PADDING)

    def reset_parameters(self) -> None:
        """Draw the features of all words again."""
        nn.init.normal_(self.weight, std=0.1)
        with torch.no_grad():
            self.weight[PADDING].zero_()
