import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, Subset, TensorDataset

from layerwright.data.from_dataset import holds_batches, split_from_dataset
from layerwright.data.splits import Batching, DatasetSplit, TensorSplit
from layerwright.errors import DataError


class Pairs(Dataset):
    """Samples with a random input, as torchvision's datasets with a transform have."""

    def __init__(self, targets, classes=None):
        self.targets = targets
        if classes:
            self.classes = classes

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        return torch.rand(2, 3), self.targets[index]


def test_a_tensor_dataset_takes_the_fast_way():
    """Also through subsets of subsets, with rows of the whole."""
    images = torch.rand(10, 2)
    whole = TensorDataset(images, torch.arange(10) % 3)
    split, facts = split_from_dataset(Subset(Subset(whole, range(2, 10)), [1, 3, 5]))
    assert isinstance(split, TensorSplit)
    assert split.indices.tolist() == [3, 5, 7]
    assert torch.equal(split.inputs[0], images[[3, 5, 7]])
    assert (facts.task, facts.num_classes, facts.input_shape) == ("classification", 3, (2,))
    batching = Batching(batch_size=4)
    assert split_from_dataset(whole, batching=batching)[0].batching == batching


def test_several_inputs_of_a_tensor_dataset():
    """All but the last tensor are inputs."""
    split, _ = split_from_dataset(
        TensorDataset(torch.rand(3, 1), torch.rand(3, 2), torch.zeros(3).bool())
    )
    assert split.input_shapes == ((1,), (2,))


def test_classes_are_taken_from_the_dataset(global_randomness):
    """Targets and names in torchvision's manner; looking at a sample leaves no trace."""
    before = global_randomness()
    split, facts = split_from_dataset(Pairs([0, 1, 2, 1], classes=["cat", "dog", "eel"]))
    assert isinstance(split, DatasetSplit)
    assert split.labels.tolist() == [0, 1, 2, 1]
    assert (facts.num_classes, facts.class_names) == (3, ("cat", "dog", "eel"))
    assert (facts.input_shape, facts.target_shape) == ((2, 3), ())
    assert global_randomness() == before


def test_labels_of_a_subset_are_those_of_its_rows():
    """Rows count in the whole dataset."""
    split, facts = split_from_dataset(Subset(Pairs([0, 1, 2, 5]), [3, 1]))
    assert split.indices.tolist() == [3, 1]
    assert split.labels.tolist() == [5, 1]
    assert facts.num_classes == 6


@pytest.mark.parametrize(
    "targets", [[0.5, 1.5], np.array([0.5, 1.0], np.float32), [True, False]], ids=str
)
def test_other_targets_have_no_classes(targets):
    """Numbers and truth values are told apart by their type."""
    split, facts = split_from_dataset(Pairs(targets))
    is_binary = targets[0] is True
    assert facts.task == ("binary" if is_binary else "regression")
    assert split.labels is None
    assert facts.num_classes is None


def test_labels_that_do_not_fit_the_samples_are_not_believed():
    """A dataset that changes its targets gives something else than its `targets` say."""

    class Shifted(Pairs):
        def __getitem__(self, index):
            return torch.rand(2), self.targets[index] + 1

    split, facts = split_from_dataset(Shifted([0, 1, 1]))
    assert split.labels is None
    assert (facts.task, facts.num_classes) == ("classification", None)
    assert split_from_dataset(Pairs([0, 1, "x"]))[0].labels is None


def test_two_inputs_in_either_form():
    """(a, b, y) and ((a, b), y)."""
    flat = [(torch.rand(2), torch.rand(3), 1)]
    nested = [((torch.rand(2), torch.rand(3)), 1)]
    for items in (flat, nested):
        split, _ = split_from_dataset(items)
        assert split.input_shapes == ((2,), (3,))


def test_whole_batches_have_the_shape_of_their_samples():
    """The batch dim is not part of it."""
    split, facts = split_from_dataset([(torch.rand(4, 2), torch.rand(4, 1))], prebatched=True)
    assert (split.input_shapes, facts.input_shape, facts.target_shape) == (((2,),), (2,), (1,))
    assert facts.task == "regression"


def test_lists_of_batches_and_of_samples_are_told_apart():
    """A sample's target is one number."""
    assert holds_batches([(torch.rand(4, 2), torch.zeros(4))])
    assert not holds_batches([(torch.rand(2), 1)])
    assert not holds_batches([(torch.rand(2), torch.tensor(1))])
    assert not holds_batches([torch.rand(2)])


def test_unsuitable_datasets_are_refused():
    """Empty ones, samples without target, dicts, pictures that are no tensors."""
    with pytest.raises(DataError) as caught:
        split_from_dataset(Pairs([]))
    assert str(caught.value) == (
        "the dataset Pairs expected at least one sample, received none. "
        "Fix: look at where it searches for its data."
    )
    with pytest.raises(DataError) as caught:
        split_from_dataset(TensorDataset(torch.rand(3, 2)))
    assert str(caught.value) == (
        "the first sample of TensorDataset expected (input, ..., target), received list of length "
        "1. Fix: return a tuple with at least one input and a target."
    )
    with pytest.raises(DataError) as caught:
        split_from_dataset([(object(), 1)])
    assert str(caught.value) == (
        "the first sample of list expected tensors, arrays or numbers, received tuple of length 2 "
        "(object, int). Fix: turn each part into a tensor in the dataset."
    )
