"""What the numbers of a text mean: words, and n-grams of words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from layerwright.data.token_sequences import TokenSequences
from layerwright.data.word_splitting import split_words
from layerwright.errors import OptionError

PADDING = 0  # stands behind the end of a text
UNKNOWN = 1  # a word that is not in the vocabulary
FIRST_WORD = 2


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """How texts become numbers.

    Args:
        ngrams: 1 keeps each text as the sequence of its words. With n from 2, a text becomes the
            set of its n-grams of 1, 2, ..., n words, each once and in no order of meaning, as a
            bag of n-grams reads it.
        min_count: a word or n-gram gets a number if the training split holds it this often.
        max_length: of a longer text only the last so many words are read; None reads all.

    Raises:
        OptionError: a value is no whole number from 1.
    """

    ngrams: int = 1
    min_count: int = 2
    max_length: int | None = None

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        for item in fields(self):
            value = getattr(self, item.name)
            if not (type(value) is int and value >= 1) and (value, item.default) != (None, None):
                raise OptionError(
                    f"text option {item.name} expected a whole number from 1, received {value!r}."
                )

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> "TextOptions":
        """Read options by name.

        Raises:
            OptionError: a name is unknown, or a value impossible.
        """
        known = [item.name for item in fields(cls)]
        for name in options:
            if name not in known:
                near = get_close_matches(str(name), known, n=1)
                hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
                raise OptionError(f"texts have no option {name!r}. {hint}")
        return cls(**options)


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Numbers for words and n-grams: 0 is padding, 1 an unknown word, then words, then n-grams.

    An n-gram is an (n-1)-gram and one more word: its key is the number of the former among its
    kind times `len(words) + 2`, plus the number of the word. An n-gram is as frequent as its
    beginning at the most, so that the beginning is always in the vocabulary too.

    Args:
        words: word i has the number i + 2.
        keys: for n = 2, 3, ... the sorted keys of the n-grams, int64.
        max_length: of a longer text only the last so many words are read.
    """

    words: tuple[str, ...]
    keys: tuple[Tensor, ...] = ()
    max_length: int | None = None

    @property
    def size(self) -> int:
        """One more than the largest number."""
        return FIRST_WORD + len(self.words) + sum(map(len, self.keys))

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each word."""
        return {word: number for number, word in enumerate(self.words, FIRST_WORD)}

    def encode(self, texts: Sequence[str]) -> TokenSequences:
        """Return the numbers of each text, as networks read them."""
        found = [[self.numbers.get(word, UNKNOWN) for word in split_words(text)] for text in texts]
        tokens = torch.tensor([number for text in found for number in text], dtype=torch.int32)
        lengths = torch.tensor([len(text) for text in found], dtype=torch.int64)
        return self._finished(TokenSequences.of_lengths(tokens, lengths))

    def recode(self, texts: TokenSequences, words: Sequence[str]) -> TokenSequences:
        """Return texts that were numbered by another list of words, as networks read them."""
        table = [PADDING, UNKNOWN, *(self.numbers.get(word, UNKNOWN) for word in words)]
        tokens = torch.tensor(table, dtype=torch.int32)[texts.tokens.long()]
        return self._finished(TokenSequences(tokens, texts.offsets))

    def text_of(self, number: int) -> str:
        """Return the word or n-gram that a number means, its words with spaces between.

        Raises:
            IndexError: there is no such number.
        """
        plain = ("<padding>", "<unknown>", *self.words)
        if number < len(plain):
            return plain[number]
        place, level = number - len(plain), 0
        while place >= len(self.keys[level]):
            place, level = place - len(self.keys[level]), level + 1
        words = []
        for keys in reversed(self.keys[: level + 1]):
            place, word = divmod(int(keys[place]), len(plain))
            words.append(word)
        return " ".join(plain[word] for word in (place, *reversed(words)))

    def _finished(self, texts: TokenSequences) -> TokenSequences:
        texts = shortened(texts, self.max_length)
        if not self.keys:
            return texts
        owners, places = texts.owners(), _word_places(texts)
        numbers, first = [places], FIRST_WORD + len(self.words)
        for n, keys in enumerate(self.keys, 2):
            places = _places_among(keys, _extended(places, texts, owners, n, len(self.words)))
            numbers.append(torch.where(places >= 0, places + first, -1))
            first += len(keys)
        pairs = [(owners * self.size + part)[part >= 0] for part in numbers]
        unique = torch.unique_consecutive(torch.from_numpy(np.sort(torch.cat(pairs).numpy())))
        lengths = torch.bincount(unique // self.size, minlength=len(texts))
        return TokenSequences.of_lengths((unique % self.size).to(torch.int32), lengths)


def build_vocabulary(
    texts: TokenSequences, words: Sequence[str], options: TextOptions
) -> Vocabulary:
    """Number the words and n-grams that the texts hold often enough, the frequent words first.

    Args:
        texts: of the training split, numbered by `words` from 2 on.
        words: what the numbers mean.
        options: how long n-grams are, and how often they have to appear.
    """
    texts = shortened(texts, options.max_length)
    counts = torch.bincount(texts.tokens.long(), minlength=FIRST_WORD + len(words)).tolist()
    often = [
        (-count, word)
        for count, word in zip(counts[FIRST_WORD:], words, strict=True)
        if count >= options.min_count
    ]
    vocabulary = Vocabulary(tuple(word for _, word in sorted(often)))
    texts = vocabulary.recode(texts, words)
    owners, places = texts.owners(), _word_places(texts)
    kinds: list[Tensor] = []
    for n in range(2, options.ngrams + 1):
        keys = _extended(places, texts, owners, n, len(vocabulary.words))
        unique, times = np.unique(keys[keys >= 0].numpy(), return_counts=True)
        kinds.append(torch.from_numpy(unique[times >= options.min_count]))
        places = _places_among(kinds[-1], keys)
    return Vocabulary(vocabulary.words, tuple(kinds), options.max_length)


def shortened(texts: TokenSequences, max_length: int | None) -> TokenSequences:
    """Return the last `max_length` tokens of each text; None keeps all."""
    if max_length is None or not len(texts) or int(texts.lengths.max()) <= max_length:
        return texts
    ends = texts.offsets[1:][texts.owners()]
    return texts.kept(ends - torch.arange(len(texts.tokens)) <= max_length)


def _word_places(texts: TokenSequences) -> Tensor:
    """Return the number of the word at each token; -1 where it is unknown."""
    words = texts.tokens.long()
    return torch.where(words >= FIRST_WORD, words, -1)


def _extended(
    places: Tensor, texts: TokenSequences, owners: Tensor, n: int, num_words: int
) -> Tensor:
    """Return the key of the n-gram that begins at each token; -1 where none does.

    Args:
        places: of the (n-1)-gram that begins at each token, -1 where none does, shape `(T,)`.
        texts: the words.
        owners: which text each token belongs to, shape `(T,)`.
        n: number of words of the n-grams.
        num_words: number of words in the vocabulary.
    """
    keys = torch.full_like(places, -1)
    count = max(len(places) - n + 1, 0)
    before, last = places[:count], texts.tokens[n - 1 :].long()
    exists = (before >= 0) & (last >= FIRST_WORD) & (owners[:count] == owners[n - 1 :])
    keys[:count] = torch.where(exists, before * (num_words + FIRST_WORD) + last, -1)
    return keys


def _places_among(sorted_keys: Tensor, keys: Tensor) -> Tensor:
    """Return where each key stands among sorted ones; -1 where it does not."""
    if not len(sorted_keys):
        return torch.full_like(keys, -1)
    places = torch.searchsorted(sorted_keys, keys).clamp(max=len(sorted_keys) - 1)
    return torch.where(sorted_keys[places] == keys, places, -1)
