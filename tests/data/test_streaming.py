import multiprocessing

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from layerwright.data.batches import make_batches
from layerwright.data.splits import StreamSplit
from layerwright.errors import DataError


class Numbers(IterableDataset):
    """Ten samples, each with a draw from the global generator."""

    def __iter__(self):
        for number in range(10):
            yield torch.tensor([torch.rand(()).item()]), number


def batches_of(iterable, **options):
    options = {"batch_size": 4, "shuffle": True, "seed": 0, **options}
    return make_batches(StreamSplit(iterable, "It is a test."), **options)


def three_batches():
    return iter([(torch.rand(5, 2), torch.arange(5)) for _ in range(3)])


def test_batches_come_in_the_order_of_the_stream():
    """A list is iterated again in each epoch."""
    items = [(torch.rand(2, 3), torch.tensor([n, n])) for n in range(3)]
    batches = batches_of(items)
    for epoch in range(2):
        assert [int(target[0]) for _, target in batches.epoch(epoch)] == [0, 1, 2]
    assert (batches.num_batches, batches.num_samples, batches.batch_size) == (3, None, None)
    assert batches.sample_indices(0, 0) is None


def test_samples_of_an_iterable_dataset_are_put_into_batches():
    """What it draws from the global generator repeats, and leaves no trace."""
    before = torch.get_rng_state()
    first, second = (list(batches_of(Numbers()).epoch(0)) for _ in range(2))
    other = list(batches_of(Numbers()).epoch(1))
    assert [target.tolist() for _, target in first] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert torch.equal(first[0][0][0], second[0][0][0])
    assert not torch.equal(first[0][0][0], other[0][0][0])
    assert torch.equal(torch.get_rng_state(), before)
    own = make_batches(
        StreamSplit(Numbers(), "", batch_size=10), batch_size=4, shuffle=False, seed=0
    )
    assert [len(target) for _, target in own.epoch(0)] == [10]


def test_closing_early_ends_the_workers_of_the_stream():
    """Also those of a user's own DataLoader, which can be iterated again."""
    for loader in (
        batches_of(Numbers(), workers=1, batch_size=1),
        batches_of(DataLoader(Numbers(), num_workers=1, persistent_workers=True)),
    ):
        epoch = loader.epoch(0)
        next(epoch)
        epoch.close()
        assert multiprocessing.active_children() == []
        assert len(list(loader.epoch(1))) == 10


def test_a_used_up_iterator_is_named():
    """The second epoch finds nothing and says why."""
    batches = batches_of(three_batches())
    assert len(list(batches.epoch(0))) == 3
    with pytest.raises(DataError) as caught:
        list(batches.epoch(1))
    assert str(caught.value) == (
        "the stream expected to give batches in epoch 2, received none: an iterator is used up "
        "after one pass. Fix: train for one epoch, or pass a DataLoader, a Dataset or a list of "
        "batches."
    )


def test_a_stream_cannot_be_taken_up_in_the_middle():
    """The reason of the split is part of the message."""
    with pytest.raises(DataError) as caught:
        next(batches_of(three_batches()).epoch(0, 2))
    assert str(caught.value) == (
        "batch 2 of epoch 0 cannot be had without the ones before it: It is a test. "
        "Fix: start the epoch anew, or use a map-style Dataset."
    )


def test_batches_of_another_form_are_refused():
    """A stream of single tensors has no target."""
    with pytest.raises(DataError) as caught:
        next(batches_of(iter([torch.rand(3, 2)])).epoch(0))
    assert str(caught.value) == (
        "batch 0 of the stream expected (input, ..., target), received Tensor of shape (3, 2). "
        "Fix: return a tuple with at least one input and a target."
    )


def test_each_batch_is_augmented_with_draws_of_its_own():
    """The same pictures come out differently in each batch and epoch."""
    items = [(torch.arange(16.0).expand(16, 1, 16, 16), torch.zeros(16))] * 3
    batches = batches_of(items, augment=("flip",))
    drawn = {tuple(i[0][:, 0, 0, 0].tolist()) for e in (0, 1) for i, _ in batches.epoch(e)}
    assert len(drawn) == 6


def test_images_of_a_stream_are_augmented():
    """Each one is itself or its mirror image."""
    images = torch.rand(6, 1, 16, 16)
    items = [(images, torch.arange(6))]
    (changed,), _ = next(batches_of(items, augment=("flip",)).epoch(0))
    both = torch.stack([images, images.flip(-1)])
    assert (both == changed).flatten(2).all(2).any(0).all()
    assert not torch.equal(changed, images)
