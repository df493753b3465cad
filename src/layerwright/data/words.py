"""Text to words."""

import re
from collections.abc import Iterable

import torch

from layerwright.data.token_sequences import TokenSequences

_LINE_BREAK = re.compile(r"<br\s*/?>")
# Letters and digits with apostrophes inside ("isn't"), or one mark that says something by itself;
# Chinese characters and Japanese kana, which are written without spaces, one by one.
_ONE_BY_ONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(
    rf"[{_ONE_BY_ONE}]|[^\W_{_ONE_BY_ONE}]+(?:['\u2019][^\W_{_ONE_BY_ONE}]+)*|[!?.,;:()\"*-]"
)


def split_words(text: str) -> list[str]:
    """Split a text into words and marks, in lower case; HTML line breaks separate words.

    Example:
        >>> split_words("It isn't bad.<br />Really!")
        ['it', "isn't", 'bad', '.', 'really', '!']
    """
    return _WORD.findall(_LINE_BREAK.sub(" ", text.lower()))


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
