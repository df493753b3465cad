import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)

from layerwright.data.batches import make_batches
from layerwright.data.from_loader import split_from_loader
from layerwright.data.splits import DatasetSplit, StreamSplit, TensorSplit


class Rows(Dataset):
    def __len__(self):
        return 20

    def __getitem__(self, index):
        return torch.tensor([float(index)]), index


class Backwards(Sampler):
    def __len__(self):
        return 20

    def __iter__(self):
        return iter(range(19, -1, -1))


class OwnLoader(DataLoader):
    pass


class Stream(IterableDataset):
    def __iter__(self):
        return iter([(torch.rand(2), 1)] * 4)


TENSORS = TensorDataset(torch.arange(20.0)[:, None], torch.arange(20))


def rows(loader, epoch=0, *, shuffles=True, **options):
    options = {"batch_size": 3, "shuffle": True, "seed": 0, **options}
    split, _ = split_from_loader(loader, shuffles=shuffles)
    return [target.tolist() for _, target in make_batches(split, **options).epoch(epoch)]


def flat(batches):
    return [row for batch in batches for row in batch]


@pytest.mark.parametrize("dataset", [TENSORS, Rows()], ids=["in memory", "read"])
def test_size_order_and_last_batch_are_the_loaders(dataset):
    """Shuffled or not, whatever the caller asks for."""
    ordered = rows(DataLoader(dataset, batch_size=8))
    assert ordered == [list(range(8)), list(range(8, 16)), list(range(16, 20))]
    shuffled = rows(DataLoader(dataset, batch_size=8, shuffle=True, drop_last=True), shuffle=False)
    assert [len(batch) for batch in shuffled] == [8, 8]
    assert flat(shuffled) != sorted(flat(shuffled))


@pytest.mark.parametrize("dataset", [TENSORS, Rows()], ids=["in memory", "read"])
def test_an_evaluation_split_keeps_every_sample_in_order(dataset):
    """A shuffled loader for validation is read in the order of its dataset."""
    loader = DataLoader(dataset, batch_size=8, shuffle=True, drop_last=True)
    assert flat(rows(loader, shuffles=False, shuffle=False)) == list(range(20))
    drawn = DataLoader(dataset, batch_size=8, sampler=WeightedRandomSampler([1.0] * 20, 50))
    assert flat(rows(drawn, shuffles=False, shuffle=False)) == list(range(20))


def test_tensors_behind_a_loader_take_the_fast_way():
    """Unless a collate function of the user's own has to run."""
    assert isinstance(split_from_loader(DataLoader(TENSORS), shuffles=True)[0], TensorSplit)

    def collate(samples):
        return default_collate(samples)

    own = DataLoader(TENSORS, collate_fn=collate)
    split, _ = split_from_loader(own, shuffles=True)
    assert isinstance(split, DatasetSplit)
    assert split.collate is collate


def test_workers_and_what_starts_them_are_the_loaders():
    """Also how many batches they read ahead."""

    def start(worker):
        return None

    loader = DataLoader(Rows(), num_workers=1, prefetch_factor=3, worker_init_fn=start)
    batching = split_from_loader(loader, shuffles=True)[0].batching
    assert (batching.workers, batching.prefetch, batching.worker_init) == (1, 3, start)


def test_a_subset_sampler_draws_from_its_subset():
    """Every chosen row once, in a new order each epoch."""
    loader = DataLoader(Rows(), batch_size=4, sampler=SubsetRandomSampler([3, 5, 8, 13]))
    first, second = rows(loader, 0), rows(loader, 1)
    assert sorted(first[0]) == sorted(second[0]) == [3, 5, 8, 13]
    assert {tuple(rows(loader, epoch)[0]) for epoch in range(6)} != {tuple(first[0])}


@pytest.mark.parametrize("dataset", [TENSORS, Rows()], ids=["in memory", "read"])
@pytest.mark.parametrize(
    "sampler",
    [
        WeightedRandomSampler([0.0] * 10 + [1.0] * 10, 50),
        RandomSampler(range(20), replacement=True, num_samples=50),
    ],
    ids=["weighted", "with replacement"],
)
def test_samplers_that_draw_repeatedly_can_be_replayed(dataset, sampler):
    """As many samples as they say; the same for the same epoch."""
    loader = DataLoader(dataset, batch_size=50, sampler=sampler)
    first, second, again = (rows(loader, epoch)[0] for epoch in (0, 1, 0))
    assert first == again != second
    assert len(first) == 50
    if isinstance(sampler, WeightedRandomSampler):
        assert min(first) >= 10


def test_a_loader_of_whole_batches():
    """batch_size=None: each item is a batch, in its order."""

    class Whole(Rows):
        def __getitem__(self, index):
            return torch.full((2, 1), float(index)), torch.full((2,), index)

    split, facts = split_from_loader(DataLoader(Whole(), batch_size=None), shuffles=True)
    assert split.prebatched
    assert facts.input_shape == (1,)
    batches = make_batches(split, batch_size=9, shuffle=True, seed=0)
    assert [target.tolist() for _, target in batches.epoch(0)] == [[n, n] for n in range(20)]


@pytest.mark.parametrize(
    ("loader", "reason"),
    [
        (
            DataLoader(Rows(), sampler=Backwards()),
            "The sampler Backwards cannot be started at a given batch.",
        ),
        (
            DataLoader(
                Rows(),
                batch_sampler=type("Own", (BatchSampler,), {})(
                    SequentialSampler(range(20)), 4, drop_last=False
                ),
            ),
            "The batch sampler Own cannot be started at a given batch.",
        ),
        (OwnLoader(Rows()), "The data comes from OwnLoader, which decides its own order."),
        (
            DataLoader(Stream()),
            "The data is an IterableDataset, which cannot be started at a given batch.",
        ),
    ],
    ids=["sampler", "batch sampler", "loader", "iterable"],
)
def test_what_decides_its_own_order_is_iterated_as_it_is(loader, reason):
    """It trains, and the reason why it cannot be replayed is kept."""
    split, facts = split_from_loader(loader, shuffles=True)
    assert isinstance(split, StreamSplit)
    assert split.reason == reason
    assert facts.task == "classification"
    expected = [target.tolist() for _, target in loader]
    batches = make_batches(split, batch_size=9, shuffle=True, seed=0)
    assert [target.tolist() for _, target in batches.epoch(0)] == expected
