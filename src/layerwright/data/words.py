"""Text to numbered words."""

from collections.abc import Iterable

import torch

from layerwright.data.token_sequences import TokenSequences
from layerwright.data.word_splitting import split_words


def number_words(texts: Iterable[str], known: dict[str, int], *, first: int) -> TokenSequences:
    """Replace each word by its number; new words get the next numbers.

    Args:
        texts: any number of texts.
        known: numbers by word; new words are added.
        first: the number of the first word when nothing is known yet.

    Returns:
        A sequence for each text, int32.
    """
    numbers: list[int] = []
    lengths: list[int] = []
    for text in texts:
        words = split_words(text)
        numbers += [known.setdefault(word, first + len(known)) for word in words]
        lengths.append(len(words))
    return TokenSequences.of_lengths(
        torch.tensor(numbers, dtype=torch.int32), torch.tensor(lengths, dtype=torch.int64)
    )
