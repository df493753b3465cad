"""Sequences of different lengths, stored end to end."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TokenSequences:
    """Sequences of numbers without any padding between them.

    Sequence i is `tokens[offsets[i] : offsets[i + 1]]`; it may be empty.

    Args:
        tokens: all sequences end to end, shape `(T,)`, whole numbers.
        offsets: where each begins, and where the last one ends; int64, shape `(N + 1,)`.
    """

    tokens: Tensor
    offsets: Tensor

    @classmethod
    def of_lengths(cls, tokens: Tensor, lengths: Tensor) -> "TokenSequences":
        """Cut `tokens`, shape `(T,)`, into sequences of these lengths, int64, shape `(N,)`."""
        offsets = torch.zeros(len(lengths) + 1, dtype=torch.int64)
        torch.cumsum(lengths, 0, out=offsets[1:])
        return cls(tokens, offsets)

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Tensor:
        """The length of each sequence, int64, shape `(N,)`."""
        return self.offsets.diff()

    def owners(self) -> Tensor:
        """Return which sequence each token belongs to, int64, shape `(T,)`."""
        return torch.repeat_interleave(torch.arange(len(self)), self.lengths)

    def subset(self, positions: Tensor) -> "TokenSequences":
        """Return the sequences at `positions`, int64, shape `(M,)`, as a copy."""
        lengths = self.lengths[positions]
        chosen = TokenSequences.of_lengths(self.tokens, lengths)
        shifts = torch.repeat_interleave(self.offsets[positions] - chosen.offsets[:-1], lengths)
        return TokenSequences(self.tokens[torch.arange(len(shifts)) + shifts], chosen.offsets)

    def kept(self, wanted: Tensor) -> "TokenSequences":
        """Return the sequences without some of their tokens.

        Args:
            wanted: which tokens stay, bool, shape `(T,)`.
        """
        lengths = torch.bincount(self.owners()[wanted], minlength=len(self))
        return TokenSequences.of_lengths(self.tokens[wanted], lengths)

    def padded(self, positions: Tensor, padding: int = 0) -> tuple[Tensor, Tensor]:
        """Return some sequences side by side, as long as the longest of them.

        Args:
            positions: of the sequences, int64, shape `(B,)`.
            padding: what stands behind the end of a sequence.

        Returns:
            Tokens, int64, shape `(B, L)`, and lengths, int64, shape `(B,)`.
        """
        chosen = self.subset(positions)
        lengths = chosen.lengths
        longest = int(lengths.max()) if len(lengths) else 0
        exists = torch.arange(longest) < lengths[:, None]
        tokens = torch.full(exists.shape, padding, dtype=torch.int64)
        tokens[exists] = chosen.tokens.to(torch.int64)
        return tokens, lengths
