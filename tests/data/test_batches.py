import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerwright.data import batches as batches_module
from layerwright.data.batches import InMemoryBatches, make_batches
from layerwright.data.normalization import Normalization
from layerwright.data.splits import Batching, DatasetSplit, StreamSplit, TensorSplit
from layerwright.errors import OptionError

NORMALIZATION = Normalization((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


def image_split(count=203, **options):
    """Pixels whose first value is the row, so that a batch tells what it holds."""
    source = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=source)
    return TensorSplit((images,), torch.arange(count), NORMALIZATION, **options)


def taken(batches, epoch=0, start=0):
    return list(batches.epoch(epoch, start))


def equal(first, second):
    return len(first) == len(second) and all(
        torch.equal(a, b)
        for (inputs, target), (other_inputs, other_target) in zip(first, second, strict=True)
        for a, b in zip((*inputs, target), (*other_inputs, other_target), strict=True)
    )


def test_batches_are_the_rows_they_say_they_are():
    """Each batch holds the normalised rows of `sample_indices`, computed here in float64."""
    split = image_split()
    batches = make_batches(split, batch_size=16, shuffle=True, seed=1)
    mean = torch.tensor(NORMALIZATION.mean, dtype=torch.float64).view(3, 1, 1)
    std = torch.tensor(NORMALIZATION.std, dtype=torch.float64).view(3, 1, 1)
    for number, ((images,), target) in enumerate(batches.epoch(4)):
        rows = batches.sample_indices(4, number)
        assert torch.equal(target, rows)
        expected = (split.inputs[0][rows].double() / 255 - mean) / std
        torch.testing.assert_close(images.double(), expected, rtol=1e-5, atol=1e-5)
    assert number == 12


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 60), st.integers(1, 70), st.booleans(), st.booleans(), st.integers(1, 5000))
def test_an_epoch_holds_every_sample_once(count, batch_size, shuffle, drop_last, chunk_bytes):
    """For any sizes, with and without the last batch, and however batches are gathered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches_module, "_CHUNK_BYTES", chunk_bytes)
        split = TensorSplit((torch.arange(count).float()[:, None],), torch.arange(count))
        batches = make_batches(
            split, batch_size=batch_size, shuffle=shuffle, seed=0, drop_last=drop_last
        )
        epoch = taken(batches)
    full, rest = divmod(count, batch_size)
    sizes = [batch_size] * full + ([rest] if rest and not drop_last else [])
    rows = [row for _, target in epoch for row in target.tolist()]
    assert [len(target) for _, target in epoch] == sizes
    assert (batches.num_batches, batches.num_samples) == (len(sizes), sum(sizes))
    assert len(set(rows)) == len(rows)
    assert all(torch.equal(inputs[0][:, 0].long(), target) for inputs, target in epoch)
    if not shuffle:
        assert rows == list(range(sum(sizes)))


def test_epochs_and_seeds_have_orders_of_their_own():
    """Each epoch draws anew; the same epoch and seed draw the same."""
    orders = {}
    for seed in (0, 1):
        batches = make_batches(image_split(), batch_size=203, shuffle=True, seed=seed)
        for epoch in (0, 1, 2):
            orders[seed, epoch] = tuple(taken(batches, epoch)[0][1].tolist())
    assert len(set(orders.values())) == 6
    again = make_batches(image_split(), batch_size=203, shuffle=True, seed=1)
    assert tuple(taken(again, 2)[0][1].tolist()) == orders[1, 2]


@pytest.mark.parametrize("augment", [(), ("crop", "flip")])
@pytest.mark.parametrize("shuffle", [True, False])
def test_an_epoch_taken_up_in_the_middle_is_bit_identical(augment, shuffle, monkeypatch):
    """Starting at batch k gives what skipping k batches gives."""
    monkeypatch.setattr(batches_module, "_CHUNK_BYTES", 16 * 3 * 64 * 4 * 5)
    monkeypatch.setattr(batches_module, "_NORMALIZED_ONCE_BYTES", 0)
    options = {"batch_size": 16, "shuffle": shuffle, "seed": 3, "augment": augment}
    whole = taken(make_batches(image_split(), **options), epoch=2)
    for start in range(14):
        fresh = make_batches(image_split(), **options)
        assert equal(taken(fresh, 2, start), whole[start:])


@pytest.mark.parametrize("start", [1, 3, 4, 9])
def test_a_batch_lies_at_the_same_place_in_memory_after_a_resume(start, monkeypatch):
    """Kernels may round differently at another alignment, so a resume repeats it too."""
    monkeypatch.setattr(batches_module, "_CHUNK_BYTES", 20_000)
    batches = make_batches(image_split(), batch_size=7, shuffle=True, seed=4)
    whole = [inputs[0] for inputs, _ in batches.epoch(0)]
    rest = [inputs[0] for inputs, _ in batches.epoch(0, start=start)]
    places = [tensor.storage_offset() for tensor in whole]
    assert len(set(places)) > 1
    assert [tensor.storage_offset() for tensor in rest] == places[start:]
    assert all(torch.equal(a, b) for a, b in zip(rest, whole[start:], strict=True))


def test_batches_are_the_same_in_another_process():
    """No state of the process enters into order, augmentation or normalisation."""
    code = """
import hashlib, sys, torch
sys.path.insert(0, sys.argv[1])
torch.manual_seed(1); torch.rand(7)
from test_batches import image_split, taken
from layerwright.data.batches import make_batches
b = make_batches(image_split(), batch_size=32, shuffle=True, seed=9, augment=("crop", "flip"))
h = hashlib.sha256()
for (x,), y in taken(b, 1, 2): h.update(x.numpy().tobytes()); h.update(y.numpy().tobytes())
print(h.hexdigest())
"""
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    other = subprocess.run(command, capture_output=True, text=True, check=True)
    here = hashlib.sha256()
    options = {"batch_size": 32, "shuffle": True, "seed": 9, "augment": ("crop", "flip")}
    for (images,), target in taken(make_batches(image_split(), **options), 1, 2):
        here.update(images.numpy().tobytes())
        here.update(target.numpy().tobytes())
    assert other.stdout == here.hexdigest() + "\n"


def test_normalising_once_or_by_chunk_gives_the_same_bits(monkeypatch):
    """Memory decides which way is taken, never the result."""
    options = {"batch_size": 10, "shuffle": True, "seed": 0}
    once = taken(make_batches(image_split(), **options))
    monkeypatch.setattr(batches_module, "_NORMALIZED_ONCE_BYTES", 0)
    by_chunk = make_batches(image_split(), **options)
    assert by_chunk._normalization is not None
    assert equal(once, taken(by_chunk))


def test_batches_stay_as_they_are_while_more_are_taken(monkeypatch):
    """What a consumer still holds is never overwritten by a later chunk."""
    monkeypatch.setattr(batches_module, "_CHUNK_BYTES", 1)
    batches = make_batches(image_split(), batch_size=8, shuffle=True, seed=0)
    held = [(inputs[0].clone(), inputs[0]) for inputs, _ in batches.epoch(0)]
    assert all(torch.equal(then, now) for then, now in held)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(
    ("dtype", "normalization"),
    [
        (torch.float32, None),
        (torch.float32, Normalization((0.0,), (1.0,), 1.0)),
        (torch.uint8, Normalization((0.0,), (1.0,))),
    ],
    ids=["plain", "normalised once", "normalised by chunk"],
)
def test_a_network_may_change_its_input_in_place(shuffle, dtype, normalization, monkeypatch):
    """Neither the data nor the neighbours of a batch change, and autograd allows it."""
    monkeypatch.setattr(batches_module, "_NORMALIZED_ONCE_BYTES", 0)
    values = torch.randint(0, 256, (40, 5)).to(dtype)
    split = TensorSplit((values,), torch.rand(40), normalization)
    kept = split.inputs[0].clone(), split.targets.clone()
    batches = make_batches(split, batch_size=8, shuffle=shuffle, seed=0)
    expected = taken(batches)
    bias = torch.nn.Parameter(torch.ones(5))
    for ((inputs,), target), (before, target_before) in zip(
        batches.epoch(0), expected, strict=True
    ):
        assert torch.equal(inputs, before[0])
        assert torch.equal(target, target_before)
        inputs.add_(bias)
        inputs.sum().backward()
        inputs.detach().zero_()
        target.zero_()
    assert bias.grad.tolist() == [40.0] * 5
    assert torch.equal(split.inputs[0], kept[0])
    assert torch.equal(split.targets, kept[1])


def test_the_global_generators_are_left_alone(global_randomness):
    """Neither order nor augmentation draws from them."""
    before = global_randomness()
    taken(make_batches(image_split(), batch_size=32, shuffle=True, seed=0, augment=("crop",)))
    assert global_randomness() == before


def test_several_inputs_come_together():
    """Rows of all inputs and of the target belong together; only the first is augmented."""
    first = torch.rand(30, 1, 16, 16)
    split = TensorSplit((first, torch.arange(30.0)), torch.arange(30))
    batches = make_batches(split, batch_size=7, shuffle=True, seed=0, augment=("flip",))
    for (images, numbers), target in batches.epoch(0):
        assert torch.equal(numbers.long(), target)
        both = torch.stack([first[target], first[target].flip(-1)])
        assert (both == images).flatten(2).all(2).any(0).all()


def test_rows_are_those_of_the_data_that_was_given():
    """A carved split reports rows of the whole."""
    rows = torch.tensor([5, 9, 11, 40])
    split = TensorSplit((torch.rand(4, 2),), torch.arange(4), indices=rows)
    batches = make_batches(split, batch_size=3, shuffle=True, seed=0)
    for number, (_, target) in enumerate(batches.epoch(0)):
        assert torch.equal(batches.sample_indices(0, number), rows[target])


def test_what_a_loader_decided_wins():
    """Batch size, order and last batch of a user's own DataLoader are kept."""
    split = image_split(50, batching=Batching(batch_size=20, shuffle=False, drop_last=True))
    batches = make_batches(split, batch_size=7, shuffle=True, seed=0)
    assert [target.tolist() for _, target in batches.epoch(0)] == [
        list(range(20)),
        list(range(20, 40)),
    ]
    assert batches.batch_size == 20


def test_data_that_is_too_large_for_the_device_goes_there_in_chunks(monkeypatch):
    """Batches arrive on the device either way; the split stays where it is."""
    for limit, home in ((2**30, "meta"), (0, "cpu")):
        monkeypatch.setattr(batches_module, "_RESIDENT_BYTES", limit)
        split = image_split(20)
        batches = make_batches(split, batch_size=8, shuffle=False, seed=0, device="meta")
        assert batches._tensors[0].device.type == home
        assert [inputs[0].shape[0] for inputs, _ in batches.epoch(0)] == [8, 8, 4]
        assert {inputs[0].device.type for inputs, _ in batches.epoch(0)} == {"meta"}
        assert split.inputs[0].device.type == "cpu"


def test_closing_early_is_quiet():
    """A consumer may stop at any batch."""
    epoch = make_batches(image_split(), batch_size=8, shuffle=True, seed=0).epoch(0)
    next(epoch)
    epoch.close()
    assert list(epoch) == []


def test_each_kind_of_split_gets_its_own_way():
    """In memory, through a DataLoader, or as a stream."""
    options = {"batch_size": 2, "shuffle": False, "seed": 0}
    kinds = [
        type(make_batches(split, **options)).__name__
        for split in (image_split(), DatasetSplit([(1.0, 2)]), StreamSplit([], "why."))
    ]
    assert kinds == [InMemoryBatches.__name__, "DatasetBatches", "StreamBatches"]


@pytest.mark.parametrize(("batch_size", "workers"), [(0, 0), (4, -1)])
def test_impossible_numbers_are_refused(batch_size, workers):
    """The message shows what was received."""
    with pytest.raises(OptionError) as caught:
        make_batches(image_split(), batch_size=batch_size, shuffle=True, seed=0, workers=workers)
    assert str(caught.value) == (
        "make_batches expected a batch_size from 1 and workers from 0, received "
        f"batch_size={batch_size} and workers={workers}."
    )
