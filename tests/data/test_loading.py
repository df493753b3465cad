import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, RandomSampler, WeightedRandomSampler

from layerwright.data.batches import make_batches
from layerwright.data.normalization import Normalization
from layerwright.data.splits import Batching, DatasetSplit
from layerwright.errors import DataError


class Noisy(Dataset):
    """Each sample draws from torch, numpy and Python, and says where it was read."""

    def __init__(self, count=50):
        self.count = count
        self.read = []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.read.append(index)
        noise = torch.tensor([torch.rand(()).item(), np.random.rand(), random.random()])
        return torch.cat([noise, torch.tensor([float(index)])]), index


class Located(Noisy):
    """Each sample holds the number of the process that read it."""

    def __getitem__(self, index):
        return torch.tensor([float(os.getpid())]), index


class Failing(Noisy):
    """Sample 7 does what `failure` says."""

    def __init__(self, failure):
        super().__init__()
        self.failure = failure

    def __getitem__(self, index):
        if index == 7:
            self.failure()
        return super().__getitem__(index)


def raise_data_error():
    raise DataError("the image x.png is damaged.")


def raise_own_error():
    raise KeyError("column")


def die():
    os._exit(3)


def taken(split, epoch=0, start=0, **options):
    options = {"batch_size": 8, "shuffle": True, "seed": 0, **options}
    return list(make_batches(split, **options).epoch(epoch, start))


def flat(batches):
    return [tensor for inputs, target in batches for tensor in (*inputs, target)]


def equal(first, second):
    first, second = flat(first), flat(second)
    return len(first) == len(second) and all(map(torch.equal, first, second))


def wait_until_gone(pids, seconds=10.0):
    """The pids that are still alive after so many seconds."""

    def alive(pid):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
            return stat.rsplit(")", 1)[1].split()[0] != "Z"
        except FileNotFoundError:
            return False

    until = time.monotonic() + seconds
    while (left := [pid for pid in pids if alive(pid)]) and time.monotonic() < until:
        time.sleep(0.05)
    return left


def test_any_number_of_workers_gives_the_same_bits(global_randomness):
    """Random transforms draw a function of seed, epoch and batch, wherever they run."""
    before = global_randomness()
    here = taken(DatasetSplit(Noisy()), epoch=1)
    for workers in (2, 4):
        assert equal(here, taken(DatasetSplit(Noisy()), epoch=1, workers=workers))
    assert global_randomness() == before
    rows = torch.cat([target for _, target in here])
    assert sorted(rows.tolist()) == list(range(50))
    noise = torch.cat([inputs[0][:, :3] for inputs, _ in here])
    assert len(noise.unique()) == noise.numel()


def test_epochs_and_seeds_draw_anew():
    """Order and transforms change from epoch to epoch and from seed to seed."""
    split = DatasetSplit(Noisy())
    first = taken(split, epoch=0)
    assert not equal(first, taken(split, epoch=1))
    assert not equal(first, taken(split, epoch=0, seed=1))
    assert equal(first, taken(split, epoch=0))
    ordered = [taken(split, epoch=epoch, shuffle=False)[0][0][0] for epoch in (0, 1)]
    assert torch.equal(ordered[0][:, 3], ordered[1][:, 3])
    assert (ordered[0][:, :3] != ordered[1][:, :3]).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_taken_up_in_the_middle_is_bit_identical(workers):
    """With augmentation by batch as well."""

    class Images(Noisy):
        def __getitem__(self, index):
            return torch.rand(1, 16, 16), index

    split = DatasetSplit(Images())
    options = {"workers": workers, "augment": ("crop", "flip")}
    whole = taken(split, epoch=3, **options)
    for start in (1, 4, 6, 7):
        assert equal(whole[start:], taken(split, epoch=3, start=start, **options))


def test_only_the_batches_that_are_wanted_are_read():
    """Taking an epoch up in the middle does not read what came before."""
    split = DatasetSplit(Noisy())
    batches = taken(split, start=5)
    assert split.dataset.read == torch.cat([target for _, target in batches]).tolist()
    assert len(split.dataset.read) == 10


def test_batches_are_the_rows_they_say_they_are():
    """`sample_indices` counts in the whole dataset, also for a part of it."""
    split = DatasetSplit(Noisy(), torch.arange(10, 40))
    batches = make_batches(split, batch_size=7, shuffle=True, seed=0, drop_last=True)
    epoch = list(batches.epoch(2))
    assert (batches.num_batches, batches.num_samples, len(epoch)) == (4, 28, 4)
    for number, (_, target) in enumerate(epoch):
        assert torch.equal(batches.sample_indices(2, number), target)
        assert target.min() >= 10
        assert target.max() < 40


def test_workers_stay_from_epoch_to_epoch_and_end_with_close():
    """Starting processes is paid once."""
    batches = make_batches(DatasetSplit(Located()), batch_size=8, shuffle=True, seed=0, workers=2)
    pids = [
        {int(pid) for inputs, _ in batches.epoch(epoch) for pid in inputs[0][:, 0]}
        for epoch in range(3)
    ]
    assert len(pids[0]) == 2
    assert pids[0] == pids[1] == pids[2]
    assert os.getpid() not in pids[0]
    batches.close()
    assert wait_until_gone(pids[0], 0) == []


def test_closing_an_epoch_early_ends_its_workers():
    """Nothing keeps running behind a consumer that stopped, and a new epoch still works."""
    batches = make_batches(DatasetSplit(Located()), batch_size=4, shuffle=True, seed=0, workers=2)
    whole = list(batches.epoch(0))
    epoch = batches.epoch(0)
    pids = {int(next(epoch)[0][0][0, 0]), int(next(epoch)[0][0][0, 0])}
    epoch.close()
    assert multiprocessing.active_children() == []
    assert wait_until_gone(pids, 0) == []
    again = list(batches.epoch(0, 2))
    assert [target.tolist() for _, target in again] == [t.tolist() for _, t in whole[2:]]
    batches.close()


def test_two_epochs_may_be_open_at_once():
    """Each has workers of its own."""
    split = DatasetSplit(Noisy())
    batches = make_batches(split, batch_size=8, shuffle=True, seed=0, workers=1)
    pairs = list(zip(batches.epoch(0), batches.epoch(1), strict=True))
    assert equal([first for first, _ in pairs], taken(split, epoch=0))
    assert equal([second for _, second in pairs], taken(split, epoch=1))
    batches.close()


def test_each_batch_is_augmented_with_draws_of_its_own():
    """The same pictures come out differently in each batch and epoch."""
    items = [(torch.arange(16.0).expand(1, 16, 16), 0)] * 48
    batches = make_batches(
        DatasetSplit(items), batch_size=16, shuffle=False, seed=0, augment=("flip",)
    )
    drawn = {tuple(i[0][:, 0, 0, 0].tolist()) for e in (0, 1) for i, _ in batches.epoch(e)}
    assert len(drawn) == 6


@pytest.mark.parametrize("handled", [False, True])
def test_ctrl_c_is_left_to_the_main_process(tmp_path, handled):
    """The terminal signals the whole group: a main process that goes on still gets its batches.

    One that stops leaves no process behind.
    """
    script = tmp_path / "train.py"
    script.write_text(
        """
import os, signal, sys, time, torch
from layerwright.data.batches import make_batches
from layerwright.data.splits import DatasetSplit
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell ignores it
class Slow(torch.utils.data.Dataset):
    def __len__(self): return 40
    def __getitem__(self, index):
        time.sleep(0.02)
        return torch.tensor([float(os.getpid())]), index
seen = []
batches = make_batches(DatasetSplit(Slow()), batch_size=2, shuffle=False, seed=0, workers=2)
try:
    for number, (inputs, _) in enumerate(batches.epoch(0), 1):
        if number == 4 and sys.argv[1] == "True":  # the workers run already
            signal.signal(signal.SIGINT, lambda *_: seen.append(1))
        print(int(inputs[0][0, 0]), flush=True)
    print(f"{number} batches, {len(seen)} signal", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    )
    process = subprocess.Popen(
        [sys.executable, str(script), str(handled)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids = {int(process.stdout.readline()) for _ in range(4)}
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert len(pids) == 2
    assert out.splitlines()[-1] == ("20 batches, 1 signal" if handled else "interrupted")
    assert err == ""
    assert wait_until_gone(pids) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_ours_arrives_as_it_was_written(workers):
    """A damaged image is named without the traceback of a worker around it."""
    with pytest.raises(DataError) as caught:
        taken(DatasetSplit(Failing(raise_data_error)), shuffle=False, workers=workers)
    assert str(caught.value) == "the image x.png is damaged."
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_the_users_own_keeps_its_type(workers):
    """It says which samples were being read."""
    with pytest.raises(KeyError) as caught:
        taken(DatasetSplit(Failing(raise_own_error)), shuffle=False, workers=workers)
    note = "layerwright was reading samples [0, 1, 2, 3, 4, 5, 6, 7] of the dataset."
    assert note in str(caught.value) + "".join(getattr(caught.value, "__notes__", []))


def test_a_worker_that_dies_is_missed():
    """The message says what happened and how to see more."""
    with pytest.raises(DataError) as caught:
        taken(DatasetSplit(Failing(die)), shuffle=False, workers=2)
    message = str(caught.value)
    assert message.startswith(
        "reading the dataset expected 2 live worker processes, received: DataLoader worker (pid"
    )
    assert message.endswith(
        "Fix: look for lack of memory or a crash in the dataset; workers=0 shows where."
    )
    assert multiprocessing.active_children() == []


def test_torchs_samplers_draw_under_the_seed():
    """A weighted draw repeats, changes by epoch, and does not use the user's generator."""
    own = torch.Generator().manual_seed(0)
    sampler = WeightedRandomSampler([0.0, 1.0, 3.0], 400, generator=own)
    before = own.get_state()
    split = DatasetSplit(Noisy(3), sampler=sampler)
    batches = make_batches(split, batch_size=400, shuffle=True, seed=0)
    epochs = [next(batches.epoch(epoch))[1] for epoch in (0, 1, 0)]
    assert torch.equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0], epochs[1])
    counts = torch.bincount(epochs[0], minlength=3).tolist()
    assert counts[0] == 0
    assert 250 <= counts[2] <= 350
    assert torch.equal(own.get_state(), before)
    drawn = RandomSampler(range(3), replacement=True, num_samples=10)
    batches = make_batches(
        DatasetSplit(Noisy(3), sampler=drawn), batch_size=4, shuffle=True, seed=0
    )
    assert [len(target) for _, target in batches.epoch(0)] == [4, 4, 2]


def test_whole_batches_keep_their_order_and_their_values():
    """A list of batches is replayed as it is; changing a batch in place does not change it."""
    items = [(torch.full((3, 2), float(n)), torch.full((3,), n)) for n in range(4)]
    split = DatasetSplit(items, prebatched=True)
    for _ in range(2):
        epoch = taken(split, batch_size=64)
        assert [int(target[0]) for _, target in epoch] == [0, 1, 2, 3]
        assert [float(inputs[0][0, 0]) for inputs, _ in epoch] == [0.0, 1.0, 2.0, 3.0]
        for inputs, _ in epoch:
            inputs[0].fill_(99)
    batches = make_batches(split, batch_size=64, shuffle=True, seed=0)
    assert (batches.num_batches, batches.batch_size, batches.num_samples) == (4, None, None)
    assert batches.sample_indices(0, 0) is None


def test_dtypes_fit_networks_and_losses():
    """Doubles become float32, whole numbers int64, pixels are normalised after the trip."""

    class Mixed(Noisy):
        def __getitem__(self, index):
            pixels = torch.full((3, 2, 2), index, dtype=torch.uint8)
            return pixels, np.float64(index), np.int16(index), 0.5 * index

    normalization = Normalization((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    split = DatasetSplit(Mixed(4), normalization=normalization)
    ((inputs, target),) = taken(split, shuffle=False)
    assert [part.dtype for part in inputs] == [torch.float32, torch.float32, torch.int64]
    assert target.dtype == torch.float32
    expected = (torch.arange(4) / 255)[:, None] - torch.tensor([0.1, 0.2, 0.3])
    torch.testing.assert_close(inputs[0][:, :, 0, 0], expected / 0.5)
    ((plain, _),) = taken(DatasetSplit(Mixed(4)), shuffle=False)
    torch.testing.assert_close(plain[0][:, 0, 0, 0], torch.arange(4) / 255)


def test_own_collate_start_function_and_batched_access_are_used():
    """What a user's DataLoader does with samples and workers is done here too."""

    class Batched(Noisy):
        def __getitems__(self, indices):
            return [(torch.tensor([float(index)]), index) for index in indices]

    def collate(samples):
        inputs, targets = zip(*samples, strict=True)
        return torch.stack(inputs) * 10, torch.tensor(targets)

    def start(worker):
        os.environ["STARTED"] = str(worker)

    split = DatasetSplit(
        Batched(16), collate=collate, batching=Batching(workers=1, worker_init=start)
    )
    for inputs, target in taken(split):
        assert torch.equal(inputs[0][:, 0], target * 10.0)


def test_batches_of_another_form_are_refused():
    """The message shows the form that was received."""

    class Dicts(Noisy):
        def __getitem__(self, index):
            return {"image": torch.rand(2), "label": index}

    with pytest.raises(DataError) as caught:
        taken(DatasetSplit(Dicts()))
    assert str(caught.value) == (
        "batch 0 of the dataset expected (input, ..., target), received dict with keys image, "
        "label. Fix: return a tuple with at least one input and a target."
    )
    uneven = [(torch.rand(3, 2), torch.rand(2))]
    with pytest.raises(DataError) as caught:
        taken(DatasetSplit(uneven, prebatched=True))
    assert str(caught.value) == (
        "batch 0 of the dataset expected inputs and target of one length, received lengths 3, 2. "
        "Fix: give each batch one target per sample."
    )
    with pytest.raises(DataError) as caught:
        taken(DatasetSplit([(torch.rand(3, 2), ["a", "b", "c"])], prebatched=True))
    assert str(caught.value) == (
        "batch 0 of the dataset expected tensors or arrays of numbers, received list of length 3. "
        "Fix: turn each part into a tensor, in the dataset or in the collate function."
    )


def test_the_loader_is_asked_for_pinned_memory_on_cuda_only(monkeypatch):
    """Pinned memory is what makes a copy to the GPU not block; elsewhere it only costs."""
    from layerwright.data import loading

    asked = []
    real = loading.quiet_loader

    def spy(*args, **options):
        asked.append(options["pin_memory"])
        return real(*args, **{**options, "pin_memory": False})

    monkeypatch.setattr(loading, "quiet_loader", spy)
    for device in ("cpu", "cuda"):
        batches = make_batches(
            DatasetSplit(Noisy()), batch_size=8, shuffle=True, seed=0, device=device
        )
        batches._loader()
    assert asked == [False, True]
