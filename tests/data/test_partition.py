import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerwright.data.partition import carve_validation, limited, stratified_order
from layerwright.data.splits import DatasetSplit, TensorSplit


def split_of(labels):
    labels = torch.as_tensor(labels)
    return TensorSplit((torch.arange(len(labels)).float()[:, None],), labels)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=200), st.integers(0, 5))
def test_every_beginning_of_the_order_holds_the_classes_in_their_shares(labels, seed):
    """The first k samples differ from the exact shares by less than two, for every k."""
    order = stratified_order(len(labels), torch.tensor(labels), "test", seed)
    assert sorted(order.tolist()) == list(range(len(labels)))
    drawn = np.array(labels)[order.numpy()]
    for label in set(labels):
        seen = np.cumsum(drawn == label)
        exact = np.arange(1, len(labels) + 1) * labels.count(label) / len(labels)
        assert np.abs(seen - exact).max() < 3


def test_without_classes_the_order_is_a_plain_draw():
    """Regression has no classes to balance."""
    order = stratified_order(1000, None, "test", 0)
    assert sorted(order.tolist()) == list(range(1000))
    assert abs(np.corrcoef(np.arange(1000), order.numpy())[0, 1]) < 0.1


def test_validation_and_train_part_the_samples():
    """No sample is in both, none is lost, each is with its own target, classes keep their share."""
    labels = torch.arange(1000) % 10
    train, validation = carve_validation(split_of(labels), 0.1, seed=0)
    assert validation is not None
    assert len(validation) == 100
    rows = torch.cat([train.indices, validation.indices])
    assert sorted(rows.tolist()) == list(range(1000))
    assert torch.bincount(validation.targets).tolist() == [10] * 10
    for part in (train, validation):
        assert torch.equal(part.inputs[0][:, 0].long(), part.indices)
        assert torch.equal(part.targets, labels[part.indices])


def test_the_split_depends_on_its_seed_only():
    """The same call carves the same samples; another seed others."""
    split = split_of(torch.arange(500) % 5)
    first, second, other = (carve_validation(split, 0.2, seed)[1] for seed in (0, 0, 1))
    assert torch.equal(first.indices, second.indices)
    assert not torch.equal(first.indices, other.indices)


def test_a_share_of_less_than_half_a_sample_carves_nothing():
    """Four points to fit a line to are not torn apart."""
    train, validation = carve_validation(split_of([0, 1, 0, 1]), 0.1, seed=0)
    assert validation is None
    assert len(train) == 4


def test_one_sample_is_always_left_to_learn_from():
    """A share close to one does not empty the training split."""
    train, validation = carve_validation(split_of([0, 0, 0]), 0.99, seed=0)
    assert (len(train), len(validation)) == (1, 2)


def test_a_larger_limit_keeps_the_samples_of_a_smaller_one():
    """Limits nest, are stratified, and hold exactly as many samples as asked for."""
    split = split_of(torch.arange(1000) % 4)
    small, large = limited(split, 100, 0), limited(split, 300, 0)
    assert (len(small), len(large)) == (100, 300)
    assert set(small.indices.tolist()) < set(large.indices.tolist())
    assert torch.bincount(small.targets).tolist() == [25] * 4
    assert limited(split, 2000, 0) is split


def test_a_dataset_is_parted_without_being_read():
    """Indices are composed; nothing asks the dataset for a sample."""

    class Unreadable:
        def __len__(self):
            return 40

        def __getitem__(self, index):
            raise AssertionError(index)

    labels = torch.arange(20) % 2
    split = DatasetSplit(Unreadable(), torch.arange(20, 40), labels=labels)
    train, validation = carve_validation(split, 0.5, seed=0)
    assert sorted([*train.indices.tolist(), *validation.indices.tolist()]) == list(range(20, 40))
    assert torch.equal(validation.labels, labels[validation.indices - 20])
    assert int(validation.labels.sum()) == 5
