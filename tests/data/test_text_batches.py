"""Batches of texts: whole, alike in length, and the same for ever."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerwright.data.batches import make_batches
from layerwright.data.text_batches import TextBatches
from layerwright.data.text_split import TextSplit
from layerwright.data.token_sequences import TokenSequences
from layerwright.data.vocabulary import Vocabulary
from layerwright.errors import OptionError


def text_split(count, longest=30, **options):
    """Text i holds the number i + 1, as often as it is long."""
    lengths = torch.randint(
        0, longest + 1, (count,), generator=torch.Generator().manual_seed(count)
    )
    tokens = torch.repeat_interleave(torch.arange(1, count + 1, dtype=torch.int32), lengths)
    texts = TokenSequences.of_lengths(tokens, lengths)
    return TextSplit(texts, torch.arange(count), Vocabulary(()), **options)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 300), st.integers(1, 9), st.booleans(), st.booleans())
def test_an_epoch_holds_every_text_once(count, batch_size, shuffle, drop_last):
    """Each row of a batch is its text and nothing but padding behind; full batches come first."""
    split = text_split(count)
    batches = make_batches(
        split, batch_size=batch_size, shuffle=shuffle, seed=0, drop_last=drop_last
    )
    assert isinstance(batches, TextBatches)
    rows, sizes = [], []
    for number, ((tokens, lengths), target) in enumerate(batches.epoch(3)):
        assert torch.equal(batches.sample_indices(3, number), target)
        assert torch.equal(lengths, split.texts.lengths[target])
        assert tokens.shape == (len(target), int(lengths.max()))
        exists = torch.arange(tokens.shape[1]) < lengths[:, None]
        assert torch.equal(tokens, torch.where(exists, target[:, None] + 1, 0))
        rows += target.tolist()
        sizes.append(len(target))
    full, rest = divmod(count, batch_size)
    assert sizes == [batch_size] * full + ([rest] if rest and not drop_last else [])
    assert (batches.num_batches, batches.num_samples) == (len(sizes), sum(sizes))
    assert len(set(rows)) == len(rows)
    if not drop_last:
        assert sorted(rows) == list(range(count))


def test_texts_of_a_batch_are_alike_in_length():
    """Less than a tenth is padding, where random batches would have more than a third."""
    split = text_split(4000, longest=200)
    for shuffle in (True, False):
        batches = make_batches(split, batch_size=16, shuffle=shuffle, seed=0)
        inputs = [batch[0] for batch in batches.epoch(0)]
        held = sum(int(lengths.sum()) for _, lengths in inputs)
        assert held > 0.9 * sum(tokens.numel() for tokens, _ in inputs)
        longest = [tokens.shape[1] for tokens, _ in inputs]
        assert (longest == sorted(longest)) is not shuffle


def test_epochs_are_drawn_anew_and_repeated_exactly():
    """Another epoch or seed mixes other texts; the same ones give the same bits, from any batch."""
    split = text_split(300)

    def taken(seed, epoch, start=0):
        batches = make_batches(split, batch_size=8, shuffle=True, seed=seed)
        return [target.tolist() for _, target in batches.epoch(epoch, start)]

    whole = taken(5, 1)
    assert taken(5, 1, start=9) == whole[9:]
    sets = [frozenset(map(frozenset, taken(*other))) for other in ((5, 1), (5, 2), (6, 1))]
    assert len(set(sets)) == 3
    state = torch.get_rng_state()
    taken(5, 1)
    assert torch.equal(state, torch.get_rng_state())


def test_parts_of_a_split_know_their_rows():
    """A carved split reports rows of the whole."""
    part = text_split(20).subset(torch.tensor([11, 3, 19]))
    batches = make_batches(part, batch_size=2, shuffle=True, seed=0)
    for number, (_, target) in enumerate(batches.epoch(0)):
        assert torch.equal(batches.sample_indices(0, number), target)
    again = part.subset(torch.tensor([2, 0]))
    assert (again.indices.tolist(), again.targets.tolist()) == ([19, 11], [19, 11])
    assert torch.equal(again.labels, again.targets)


def test_images_are_not_expected():
    """Augmentation is for images."""
    with pytest.raises(OptionError) as caught:
        make_batches(text_split(4), batch_size=2, shuffle=True, seed=0, augment=("flip",))
    assert str(caught.value) == (
        "augment expected images, received texts and augment=('flip',). Fix: leave augment out."
    )
