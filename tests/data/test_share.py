"""The parts of several processes make up each batch, whatever kind of data it comes from."""

import pytest
import torch
from torch.utils.data import Dataset

from layerwright.data.batches import make_batches
from layerwright.data.catalog import load_data
from layerwright.data.interface import Batches
from layerwright.data.share import Share
from layerwright.errors import DataError, OptionError
from layerwright.training.mixed_batches import MixedBatches


class Pairs(Dataset):
    """Images and their classes, read one by one."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], self.labels[index]


def images(count=53):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 1, 8, 8, generator=generator)
    return x, torch.arange(count) % 3


def split_of(kind):
    x, y = images()
    if kind == "memory":
        return load_data((x, y), validation=0.0).train
    if kind == "dataset":
        return load_data(Pairs(x, y), validation=0.0).train
    texts = [" ".join("abcdefghij"[(i * j) % 10] for j in range(1, 3 + i % 7)) for i in range(53)]
    return load_data((texts, y), validation=0.0).train


def epoch_of(kind, share, *, mixed=False, **options):
    """Return the batches of an epoch, from its second batch on, as a list."""
    arguments = {"batch_size": 10, "shuffle": True, "seed": 5, **options}
    batches = make_batches(split_of(kind), share=None if mixed else share, **arguments)
    if mixed:
        batches = MixedBatches(batches, 0.4, num_classes=3, seed=5, share=share)
    assert isinstance(batches, Batches)
    assert (batches.num_batches, batches.num_samples) == (6, 53)
    return list(batches.epoch(2, start=1))


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("memory", {}),
        ("memory", {"shuffle": False}),
        ("memory", {"augment": ("crop", "flip")}),
        ("memory", {"mixed": True}),
        ("dataset", {"augment": ("crop", "flip")}),
        ("dataset", {"shuffle": False}),
        ("texts", {}),
    ],
)
def test_the_parts_make_up_each_batch(kind, options, size):
    """In order, bit for bit, each sample once; the last batch holds 3."""
    whole = epoch_of(kind, None, **options)
    parts = [epoch_of(kind, Share(rank, size), **options) for rank in range(size)]
    assert [len(target) for _, target in whole] == [10, 10, 10, 10, 3]
    for number, (inputs, target) in enumerate(whole):
        own = [Share(rank, size).num_own(len(target), 10) for rank in range(size)]
        assert sum(own) == len(target)
        together = [part[number] for part in parts]
        targets = [batch[1][:count] for batch, count in zip(together, own, strict=True)]
        assert torch.cat(targets).equal(target)
        for place, tensor in enumerate(inputs):
            pieces = [batch[0][place][:count] for batch, count in zip(together, own, strict=True)]
            assert torch.cat(pieces).equal(tensor)


@pytest.mark.parametrize("kind", ["memory", "dataset", "texts"])
def test_who_has_no_part_gets_a_stand_in(kind):
    """The last batch of 3 goes to one process of four; the others see its first two samples."""
    last = [epoch_of(kind, Share(rank, 4))[-1] for rank in range(4)]
    assert [Share(rank, 4).num_own(3, 10) for rank in range(4)] == [3, 0, 0, 0]
    for _, target in last[1:]:
        assert target.equal(last[0][1][:2])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("batch_size", [7, 8, 14, 30, 64])
def test_parts_are_even_and_none_has_a_single_sample(size, batch_size):
    """Sizes differ by one at most, the first are the larger; a lone sample only by necessity."""
    for count in range(1, batch_size + 1):
        bounds = [Share(rank, size).own(count, batch_size) for rank in range(size)]
        rows = [row for first, last in bounds for row in range(first, last)]
        assert rows == list(range(count))
        sizes = [last - first for first, last in bounds if last > first]
        assert max(sizes) - min(sizes) <= 1
        assert sizes == sorted(sizes, reverse=True)
        if batch_size >= 2 * size and count > 1:
            assert min(sizes) > 1


def test_fewer_samples_than_processes_are_refused():
    """The message says that the batch size is that of the whole batch."""
    x, y = images()
    split = load_data((x, y), validation=0.0).train
    with pytest.raises(OptionError, match="at least one sample for each of 4 processes, received"):
        make_batches(split, batch_size=3, shuffle=True, seed=0, share=Share(0, 4))


def test_a_stream_cannot_be_shared_out():
    """Nobody knows which samples the others take."""
    x, y = images()
    stream = load_data(iter([(x, y)]), validation=0.0).train
    with pytest.raises(DataError, match=r"samples can be counted, received a stream\. Fix: "):
        make_batches(stream, batch_size=8, shuffle=True, seed=0, share=Share(0, 2))
