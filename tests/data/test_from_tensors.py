import numpy as np
import pytest
import torch

from layerwright.data.from_tensors import split_from_tensors
from layerwright.data.normalization import Normalization
from layerwright.errors import DataError

LABELS = torch.tensor([0, 2, 1])


def refused(inputs, targets):
    with pytest.raises(DataError) as caught:
        split_from_tensors(inputs, targets)
    return str(caught.value)


def test_whole_numbers_are_classes():
    """One class more than the largest number; the inputs are the user's, not a copy."""
    inputs = torch.rand(3, 4)
    split, facts = split_from_tensors(inputs, LABELS.to(torch.int32))
    assert (facts.task, facts.num_classes, facts.input_shape) == ("classification", 3, (4,))
    assert (facts.target_shape, facts.notes) == ((), ())
    assert split.targets.dtype == torch.int64
    assert split.inputs[0].data_ptr() == inputs.data_ptr()
    assert split.normalization is None


def test_floats_are_numbers_to_predict():
    """Doubles become float32, and it is said; nothing is normalised."""
    inputs, targets = np.random.rand(3, 4) * 100, np.random.rand(3, 2)
    split, facts = split_from_tensors(inputs, targets)
    assert (facts.task, facts.num_classes, facts.target_shape) == ("regression", None, (2,))
    assert facts.notes == (
        "Inputs were converted from float64 to float32.",
        "Targets were converted from float64 to float32.",
    )
    torch.testing.assert_close(split.inputs[0], torch.from_numpy(inputs.astype(np.float32)))
    assert split.targets.dtype == torch.float32


def test_truth_values_are_binary():
    """They become 0.0 and 1.0, which binary cross-entropy takes."""
    split, facts = split_from_tensors(torch.rand(3, 4), np.array([True, False, True]))
    assert facts.task == "binary"
    assert split.targets.tolist() == [1.0, 0.0, 1.0]


def test_a_class_at_each_place_may_be_ignored():
    """-100 is what torch's cross-entropy leaves out; it is no class."""
    targets = torch.tensor([[[0, 4], [-100, 1]]])
    _, facts = split_from_tensors(torch.rand(1, 3, 2, 2), targets)
    assert (facts.num_classes, facts.target_shape) == (5, (2, 2))


def test_pixels_are_kept_and_scaled_on_the_way_out():
    """uint8 stays small in memory."""
    pixels = np.zeros((3, 1, 4, 4), np.uint8)
    split, facts = split_from_tensors(pixels, LABELS)
    assert split.inputs[0].dtype == torch.uint8
    assert split.normalization == Normalization((0.0,), (1.0,), 255.0)
    assert facts.notes == (
        "Inputs of dtype uint8 are read as pixels and scaled from 0..255 to 0..1.",
    )


def test_several_inputs_are_a_tuple():
    """Pixels among them are scaled at once."""
    pixels = torch.full((3, 1, 2, 2), 51, dtype=torch.uint8)
    split, facts = split_from_tensors((torch.rand(3, 4).double(), pixels), LABELS)
    assert split.input_shapes == ((4,), (1, 2, 2))
    assert facts.input_shape == (4,)
    assert split.normalization is None
    torch.testing.assert_close(split.inputs[1], torch.full((3, 1, 2, 2), 0.2))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (np.float16, torch.float32),
        (np.longdouble, torch.float32),
        (np.bool_, torch.float32),
        (np.int8, torch.int64),
        (np.int32, torch.int32),
        (np.uint16, torch.int64),
        (np.dtype(">f4"), torch.float32),
        (np.dtype(">i8"), torch.int64),
    ],
)
def test_every_kind_of_number_is_read(dtype, expected):
    """Values survive, whatever the width and byte order."""
    split, _ = split_from_tensors(np.array([[0], [1], [1]]).astype(dtype), LABELS)
    assert split.inputs[0].dtype == expected
    assert split.inputs[0].flatten().tolist() == [0, 1, 1]


def test_odd_arrays_are_read():
    """Read-only, reversed and transposed arrays, lists, tensors that require a gradient."""
    locked = np.arange(6.0, dtype=np.float32).reshape(3, 2)
    locked.flags.writeable = False
    for inputs in (locked, locked[::-1], locked.reshape(2, 3).T, locked.tolist()):
        split, _ = split_from_tensors(inputs, [0, 2, 1])
        np.testing.assert_array_equal(split.inputs[0].numpy(), np.asarray(inputs))
    split, _ = split_from_tensors(torch.rand(3, 2, requires_grad=True), LABELS)
    assert not split.inputs[0].requires_grad


def test_lengths_must_agree():
    """The message shows all of them."""
    assert refused(torch.rand(5, 2), LABELS) == (
        "data expected one target for each input, received 5 inputs and 3 targets. "
        "Fix: give inputs and targets the same first dim, of at least 1."
    )
    assert "received 3, 4 inputs and 3 targets" in refused((torch.rand(3), torch.rand(4)), LABELS)
    assert "received 0 inputs and 0 targets" in refused(torch.rand(0, 2), torch.rand(0))


def test_what_is_not_numbers_is_refused():
    """Text, ragged lists, a single number, a pair in place of targets."""
    assert refused(np.array([["a"], ["b"], ["c"]]), LABELS) == (
        "inputs expected numbers, received an array of <U1. "
        "Fix: encode text and categories as numbers first."
    )
    assert refused([[1.0], [1.0, 2.0], [3.0]], LABELS).startswith(
        "inputs expected numbers in one shape, received list of length 3 that numpy cannot read: "
    )
    assert refused(torch.rand(3, 2), torch.tensor(1)) == (
        "targets expected shape (N, ...), received a single number. Fix: add the batch dim."
    )
    assert refused(torch.rand(3, 2), (torch.rand(3, 2), LABELS)) == (
        "targets expected a tensor or an array, received tuple of length 2. Fix: pass (inputs, "
        "targets), or {'train': ..., 'test': ...} for data that is split already."
    )


def test_targets_that_no_loss_takes_are_refused():
    """A column, negative classes, complex numbers."""
    assert refused(torch.rand(3, 2), LABELS[:, None]) == (
        "class targets expected shape (N,), received (3, 1). "
        "Fix: pass targets[:, 0], or targets.float() where they are numbers to predict."
    )
    assert refused(torch.rand(3, 2), torch.tensor([1, -1, 1])) == (
        "class targets expected numbers from 0, received -1. "
        "Fix: number the classes 0, 1, 2, ..., or pass floats to predict numbers."
    )
    assert refused(torch.rand(3, 2), torch.rand(3, dtype=torch.complex64)) == (
        "targets expected real numbers or classes, received torch.complex64. "
        "Fix: predict real and imaginary part as two numbers."
    )
