"""A split of texts of different lengths."""

from dataclasses import dataclass, replace

from torch import Tensor

from layerwright.data.token_sequences import TokenSequences
from layerwright.data.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class TextSplit:
    """A split of texts in memory, as numbers; batches are padded on the way out.

    Args:
        texts: the tokens of each sample.
        targets: shape `(N, ...)`; int64 for classes, float32 otherwise.
        vocabulary: what the numbers mean.
        indices: the row of each sample in the data that was given, shape `(N,)`; None for all.
    """

    texts: TokenSequences
    targets: Tensor
    vocabulary: Vocabulary
    indices: Tensor | None = None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.targets)

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The network is given tokens, as long as the longest text of a batch, and lengths."""
        return (), ()

    @property
    def labels(self) -> Tensor | None:
        """The class of each sample, shape `(N,)`, where there is one."""
        single = self.targets.dim() == 1 and not self.targets.is_floating_point()
        return self.targets if single else None

    def subset(self, positions: Tensor) -> "TextSplit":
        """Return the samples at `positions`, shape `(M,)`, as a copy."""
        return replace(
            self,
            texts=self.texts.subset(positions),
            targets=self.targets[positions],
            indices=positions if self.indices is None else self.indices[positions],
        )

    def recoded(self, vocabulary: Vocabulary) -> "TextSplit":
        """Return the split in the numbers of another vocabulary."""
        texts = vocabulary.recode(self.texts, self.vocabulary.words)
        return replace(self, texts=texts, vocabulary=vocabulary)
