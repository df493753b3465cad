from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from layerwright.data.catalog import DATASETS, load_data
from layerwright.data.splits import DatasetSplit, StreamSplit, TensorSplit
from layerwright.errors import DataError, LayerwrightError, OptionError

INPUTS, LABELS = torch.rand(100, 3), torch.arange(100) % 5


def refused(spec, error=DataError, **options):
    with pytest.raises(LayerwrightError) as caught:
        load_data(spec, **options)
    assert type(caught.value) is error
    return str(caught.value)


def batches_of_two():
    return ((torch.rand(2, 3), torch.tensor([0, 1])) for _ in range(3))


def test_digits_are_split_three_ways():
    """A tenth of the training split is carved off, by class; the test split stays."""
    data = load_data("digits")
    assert (len(data.train), len(data.validation), len(data.test)) == (1293, 144, 360)
    shares = torch.bincount(data.validation.targets) / torch.bincount(data.train.targets)
    assert ((shares - 1 / 9).abs() < 0.015).all()
    assert data.unreplayable is None


def test_the_split_does_not_depend_on_anything_but_its_seed(global_randomness):
    """Global generators neither decide it nor notice it; `limit` leaves validation alone."""
    torch.manual_seed(1)
    before = global_randomness()
    first = load_data("digits")
    assert global_randomness() == before
    torch.manual_seed(2)
    second, limited, other = (
        load_data("digits"),
        load_data("digits", limit=50),
        load_data("digits", seed=1),
    )
    assert torch.equal(first.validation.indices, second.validation.indices)
    assert torch.equal(first.validation.indices, limited.validation.indices)
    assert not torch.equal(first.validation.indices, other.validation.indices)
    assert torch.bincount(limited.train.targets).tolist() == [5] * 10
    assert set(limited.train.indices.tolist()) < set(first.train.indices.tolist())
    # Written down: the split must be the same in every version of torch, numpy and layerwright.
    assert first.validation.indices[:8].tolist() == [0, 1, 20, 40, 41, 56, 66, 81]


def test_every_built_in_set_says_what_it_is():
    """One line for people who choose."""
    assert {"digits", "mnist", "cifar10", "imdb", "diabetes"} <= set(DATASETS)
    assert all(built_in.summary for built_in in DATASETS.values())


def test_tensors_and_arrays():
    """A pair is inputs and targets; there is no test split unless one is given."""
    for inputs, targets in ((INPUTS, LABELS), (INPUTS.numpy(), LABELS.numpy())):
        data = load_data((inputs, targets))
        assert (data.name, data.task, data.num_outputs) == ("data", "classification", 5)
        assert (len(data.train), len(data.validation), data.test) == (90, 10, None)
        assert torch.equal(data.train.inputs[0], INPUTS[data.train.indices])
    assert load_data((INPUTS, LABELS), validation=0).validation is None
    both = load_data(((INPUTS, INPUTS[:, :1]), LABELS.float()))
    assert both.train.input_shapes == ((3,), (1,))
    assert (both.task, both.num_outputs, both.input_shape) == ("regression", 1, (3,))


def test_splits_of_ones_own():
    """Each is given in any form; nothing is carved where validation is given."""
    test = DataLoader(TensorDataset(INPUTS[:9], LABELS[:9]), batch_size=3, shuffle=True)
    data = load_data({"train": (INPUTS, LABELS), "validation": (INPUTS, LABELS), "test": test})
    assert (len(data.train), len(data.validation), len(data.test)) == (100, 100, 9)
    assert data.test.batching.shuffle is None
    carved = load_data({"train": (INPUTS, LABELS), "test": None})
    assert (len(carved.train), len(carved.validation), carved.test) == (90, 10, None)
    more = load_data({"train": (INPUTS, LABELS), "test": (INPUTS, LABELS + 3)})
    assert more.num_classes == 8


def test_datasets_loaders_and_lists():
    """Each is recognised for what it is."""
    pairs = TensorDataset(INPUTS, LABELS)
    loaded = load_data(DataLoader(pairs, batch_size=7, shuffle=True, drop_last=True))
    assert isinstance(loaded.train, TensorSplit)
    assert (loaded.train.batching.shuffle, loaded.train.batching.drop_last) == (True, True)
    assert (loaded.validation.batching.shuffle, loaded.validation.batching.drop_last) == (
        None,
        None,
    )
    assert loaded.validation.batching.batch_size == 7
    samples = load_data([(x, int(y)) for x, y in pairs])
    assert isinstance(samples.train, DatasetSplit)
    assert not samples.train.prebatched
    assert len(samples.validation) == 10
    batches = load_data([(INPUTS[:4], LABELS[:4]), (INPUTS[4:6], LABELS[4:6])])
    assert batches.train.prebatched
    assert batches.validation is None
    assert batches.notes == (
        "No validation split is carved off: the order of the training data is not ours.",
    )
    assert all(d.unreplayable is None for d in (loaded, samples, batches))


def test_what_cannot_be_replayed_says_so():
    """In training and in any other split."""
    data = load_data(batches_of_two())
    assert isinstance(data.train, StreamSplit)
    assert data.unreplayable == "The data is an iterator, which gives each batch only once."
    assert data.validation is None
    mixed = load_data({"train": (INPUTS, LABELS), "test": batches_of_two()})
    assert mixed.unreplayable == "The data is an iterator, which gives each batch only once."
    assert len(mixed.validation) == 10


def test_data_is_returned_as_it_is():
    """What was loaded once can be passed on."""
    data = load_data("digits")
    assert load_data(data, limit=3) is data


def test_unknown_names_get_the_nearest_one():
    """A name that is no folder either."""
    expected = f"data expected {', '.join(DATASETS)} or a folder of images or texts, received "
    assert refused("minst", OptionError) == expected + "'minst'. Did you mean 'mnist'?"
    assert refused("xyzzy", OptionError) == (
        expected + "'xyzzy'. Fix: choose one of these, or correct it."
    )
    message = "data expected a folder of images, received '{}', which is no folder. "
    for spec in ("data/pets", Path("pets")):
        assert refused(spec) == message.format(spec) + "Fix: correct the path."


def test_unknown_splits_get_the_nearest_one():
    """And the training split must be there."""
    assert refused({"train": (INPUTS, LABELS), "tests": (INPUTS, LABELS)}, OptionError) == (
        "data expected the splits train, validation, test, got 'tests'. Did you mean 'test'?"
    )
    assert refused({"test": (INPUTS, LABELS)}) == (
        "data expected a split 'train', received test. Fix: add it."
    )


def test_splits_must_fit_each_other():
    """Shapes and task of all splits are the same."""
    assert refused({"train": (INPUTS, LABELS), "test": (INPUTS[:, :2], LABELS)}) == (
        "the test split expected input_shape (3,) as the train split has it, received (2,). "
        "Fix: prepare both splits alike."
    )
    assert refused({"train": (INPUTS, LABELS), "test": (INPUTS, LABELS.float())}) == (
        "the test split expected task classification as the train split has it, received "
        "regression. Fix: prepare both splits alike."
    )


@pytest.mark.parametrize(
    ("spec", "received"),
    [
        (None, "NoneType"),
        (3, "int"),
        (INPUTS, "Tensor of shape (100, 3)"),
        (np.zeros(4), "ndarray of shape (4,)"),
        ((INPUTS,), "tuple of length 1"),
        (b"mnist", "bytes"),
    ],
)
def test_anything_else_is_refused(spec, received):
    """The message lists what is understood."""
    assert refused(spec) == (
        "data expected a name, a folder, (inputs, targets), a Dataset, a DataLoader or an iterator "
        f"of batches, received {received}. Fix: pass one of these."
    )


@pytest.mark.parametrize("options", [{"validation": 1.0}, {"validation": -0.1}, {"limit": 0}])
def test_impossible_numbers_are_refused(options):
    """The message shows both."""
    full = {"validation": 0.1, "limit": None, **options}
    assert refused("digits", OptionError, **options) == (
        "load_data expected validation in [0, 1) and limit from 1, received "
        f"validation={full['validation']} and limit={full['limit']}."
    )


def test_a_limit_needs_samples_to_choose():
    """A stream has none, a sampler decides itself."""
    sampler = WeightedRandomSampler([1.0] * 100, 100)
    loader = DataLoader(TensorDataset(INPUTS, LABELS), sampler=sampler)
    for spec, kind in ((batches_of_two(), "StreamSplit"), (loader, "DatasetSplit")):
        assert refused(spec, limit=5) == (
            f"limit=5 expected training samples that can be chosen, received {kind}. "
            "Fix: limit the data before it is passed in."
        )


def test_importing_the_data_room_reads_no_optional_package():
    """The extra "data" is imported where it is used."""
    import subprocess
    import sys

    code = (
        "import sys, layerwright.data.catalog, layerwright.data.batches;"
        "print([m for m in ('datasets', 'PIL', 'sklearn', 'pyarrow') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
