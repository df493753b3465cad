import pytest
import torch
from torch.utils.data import IterableDataset

from layerwright.data.batches import make_batches
from layerwright.data.from_stream import split_from_stream
from layerwright.errors import DataError


def three():
    return ((torch.rand(2, 3), torch.tensor([n, n])) for n in range(3))


def first_targets(split):
    batches = make_batches(split, batch_size=2, shuffle=False, seed=0)
    return [int(target[0]) for _, target in batches.epoch(0)]


class Again(IterableDataset):
    def __iter__(self):
        return iter([(torch.rand(3), float(n)) for n in range(3)])


class Once(IterableDataset):
    def __init__(self):
        self.rows = iter([(torch.rand(3), n) for n in range(3)])

    def __iter__(self):
        return self.rows


class Batches:
    def __iter__(self):
        return three()


def test_the_first_batch_of_an_iterator_is_looked_at_and_not_lost():
    """Its shape and task are known, and all batches still come."""
    split, facts = split_from_stream(three())
    assert (facts.task, facts.input_shape, facts.target_shape) == ("classification", (3,), ())
    assert split.reason == "The data is an iterator, which gives each batch only once."
    assert first_targets(split) == [0, 1, 2]


def test_what_can_be_iterated_again_is():
    """An object of the user's own, which cannot be indexed."""
    split, _ = split_from_stream(Batches())
    assert split.reason == "The data of type Batches can be iterated and not indexed."
    assert first_targets(split) == first_targets(split) == [0, 1, 2]


def test_samples_of_an_iterable_dataset(global_randomness):
    """The shape of a sample is known; the global generators are left alone."""
    before = global_randomness()
    split, facts = split_from_stream(Again(), batch_size=3)
    assert split.reason == (
        "The data is an IterableDataset, which cannot be started at a given batch."
    )
    assert (facts.task, facts.input_shape, split.batch_size) == ("regression", (3,), 3)
    assert global_randomness() == before


def test_an_iterable_dataset_that_gives_each_sample_once_is_not_looked_at():
    """A look would lose a sample."""
    split, facts = split_from_stream(Once())
    assert (facts.task, facts.input_shape) == (None, None)
    assert first_targets(split) == [0, 2]


def test_an_empty_stream_is_refused():
    """At once, not in the middle of an epoch."""
    with pytest.raises(DataError) as caught:
        split_from_stream(iter([]))
    assert str(caught.value) == (
        "the stream list_iterator expected at least one batch, received none. "
        "Fix: pass an iterator that is not used up yet."
    )
