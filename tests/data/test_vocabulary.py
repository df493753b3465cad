"""Texts to numbers, against a plain-Python way with dictionaries and sets."""

import itertools
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerwright.data.token_sequences import TokenSequences
from layerwright.data.vocabulary import FIRST_WORD, TextOptions, Vocabulary, build_vocabulary
from layerwright.data.vocabulary_file import load_vocabulary, save_vocabulary
from layerwright.data.words import number_words, split_words
from layerwright.errors import DataError, OptionError

WORDS = st.lists(st.sampled_from("abcde"), max_size=9).map(" ".join)


def built(texts, **options):
    """A vocabulary of these texts, by way of provisional numbers."""
    known = {}
    tokens = number_words(texts, known, first=FIRST_WORD)
    return build_vocabulary(tokens, tuple(known), TextOptions(**options))


def as_lists(sequences):
    """Each sequence as a list of numbers."""
    offsets = sequences.offsets.tolist()
    return [sequences.tokens[a:b].tolist() for a, b in itertools.pairwise(offsets)]


def ngrams_of(words, longest):
    """All n-grams of a list of words, as tuples."""
    return [
        tuple(words[place : place + n])
        for n in range(1, longest + 1)
        for place in range(len(words) - n + 1)
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It isn't BAD.<br /><br />Really!", ["it", "isn't", "bad", ".", "really", "!"]),
        ("a 10/10 film\n(1994) -- 'great'", ["a", "10", "10", "film", "(", "1994", ")", "-", "-",
                                             "great"]),
        ("Amélie, l'été", ["amélie", ",", "l'été"]),
        ("很好看 film", ["很", "好", "看", "film"]),
        (" _ \t", []),
    ],
)  # fmt: skip
def test_texts_become_words_and_marks(text, words):
    """Lower case, contractions whole, marks alone, Chinese characters one by one."""
    assert split_words(text) == words


@settings(deadline=None, max_examples=40)
@given(
    st.lists(WORDS, min_size=1, max_size=6),
    st.lists(WORDS, max_size=3),
    st.integers(1, 4),
    st.integers(1, 3),
    st.none() | st.integers(1, 5),
)
def test_ngrams_are_those_that_are_counted_by_hand(train, more, longest, least, max_length):
    """What has a number, and which numbers a text gets, for known and unknown texts."""
    cut = [text.split()[-max_length:] if max_length else text.split() for text in train]
    counts = Counter(gram for words in cut for gram in ngrams_of(words, longest))
    known = {gram for gram, count in counts.items() if count >= least}
    vocabulary = built(train, ngrams=longest, min_count=least, max_length=max_length)
    assert vocabulary.size == FIRST_WORD + len(known)
    assert {(word,) for word in vocabulary.words} == {gram for gram in known if len(gram) == 1}
    encoded = as_lists(vocabulary.encode([*train, *more]))
    for text, numbers in zip([*train, *more], encoded, strict=True):
        words = text.split()[-max_length:] if max_length else text.split()
        if longest == 1:
            assert numbers == [vocabulary.numbers.get(word, 1) for word in words]
            continue
        held = set(ngrams_of(words, longest)) & known
        assert len(numbers) == len(set(numbers)) == len(held)
        assert all(FIRST_WORD <= number < vocabulary.size for number in numbers)
        assert {tuple(vocabulary.text_of(number).split()) for number in numbers} == held


def test_words_are_numbered_by_how_often_they_appear():
    """The most frequent first; of equals, the first in the alphabet."""
    assert built(["b a b", "a b c d d"], min_count=1).words == ("b", "a", "d", "c")
    vocabulary = built(["b a b", "a b c d d"], min_count=2)
    assert vocabulary.words == ("b", "a", "d")
    assert [vocabulary.text_of(n) for n in range(3)] == ["<padding>", "<unknown>", "b"]


def test_provisional_numbers_give_what_the_text_gives():
    """Recoding equals encoding, with words that the vocabulary does not hold."""
    known = {}
    texts = ["a b c", "", "c b a z", "z"]
    tokens = number_words(texts, known, first=FIRST_WORD)
    vocabulary = built(["a b c", "c b a"], ngrams=2, min_count=1)
    recoded = vocabulary.recode(tokens, tuple(known))
    assert as_lists(recoded) == as_lists(vocabulary.encode(texts))
    assert [len(text) for text in as_lists(recoded)] == [5, 0, 5, 0]


def test_sequences_are_chosen_and_padded():
    """Rows in the order that is asked for, empty ones and repetitions too."""
    rows = [[5, 6, 7], [], [8], [9, 10]]
    tokens = torch.tensor([number for row in rows for number in row], dtype=torch.int32)
    sequences = TokenSequences.of_lengths(tokens, torch.tensor([3, 0, 1, 2]))
    assert as_lists(sequences) == rows
    assert as_lists(sequences.subset(torch.tensor([3, 1, 0, 3]))) == [rows[3], [], rows[0], rows[3]]
    assert as_lists(sequences.kept(tokens % 2 == 0)) == [[6], [], [8], [10]]
    padded, lengths = sequences.padded(torch.tensor([2, 1, 0]))
    assert padded.tolist() == [[8, 0, 0], [0, 0, 0], [5, 6, 7]]
    assert (lengths.tolist(), padded.dtype) == ([1, 0, 3], torch.int64)
    assert sequences.padded(torch.tensor([1]))[0].shape == (1, 0)


@pytest.mark.parametrize("texts", [["a b a b é", "b a 很"], ["", ""]])
def test_a_vocabulary_survives_its_file(texts, tmp_path):
    """Words, n-grams and the longest text, whatever the letters."""
    vocabulary = built(texts, ngrams=3, min_count=1, max_length=4)
    save_vocabulary(vocabulary, tmp_path)
    loaded = load_vocabulary(tmp_path)
    assert (loaded.words, loaded.max_length) == (vocabulary.words, 4)
    assert all(map(torch.equal, loaded.keys, vocabulary.keys))
    assert len(loaded.keys) == len(vocabulary.keys) == 2
    assert as_lists(loaded.encode(["a b a é a b", "q"])) == as_lists(
        vocabulary.encode(["a b a é a b", "q"])
    )


def test_a_damaged_vocabulary_is_named(tmp_path):
    """A file that is missing or cut off."""
    path = tmp_path / "vocabulary.safetensors"
    save_vocabulary(built(["a b", "a b"]), tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    for problem in (lambda: None, path.unlink):
        problem()
        with pytest.raises(DataError) as caught:
            load_vocabulary(tmp_path)
        message = str(caught.value)
        assert message.startswith(f"{path} expected the vocabulary of a run, received damaged or ")
        assert message.endswith("Fix: train again, or copy the file from the original run.")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"ngrams": 0},
            "text option ngrams expected a whole number from 1, received 0.",
        ),
        (
            {"min_count": None},
            "text option min_count expected a whole number from 1, received None.",
        ),
        (
            {"max_length": 2.5},
            "text option max_length expected a whole number from 1, received 2.5.",
        ),
        ({"ngram": 2}, "texts have no option 'ngram'. Did you mean 'ngrams'?"),
        ({"x": 2}, "texts have no option 'x'. Known: ngrams, min_count, max_length."),
    ],
)
def test_impossible_options_are_refused(options, message):
    """The message names the option."""
    with pytest.raises(OptionError) as caught:
        TextOptions.from_mapping(options)
    assert str(caught.value) == message


def test_a_vocabulary_of_words_alone_reads_in_order():
    """Unknown words keep their place."""
    vocabulary = Vocabulary(("good", "not"))
    assert as_lists(vocabulary.encode(["Not so good", ""])) == [[3, 1, 2], []]
