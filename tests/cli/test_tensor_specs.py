"""`--input 2x3x32x32:float32`: the tensors that specs mean, and what is wrong with the others."""

import pytest
import torch

from layerwright.cli.tensor_specs import tensors_of
from layerwright.errors import OptionError


@pytest.mark.parametrize(
    ("spec", "shape", "dtype"),
    [
        ("2x3x32x32", (2, 3, 32, 32), torch.float32),
        ("7", (7,), torch.float32),
        ("0x3", (0, 3), torch.float32),
        ("scalar", (), torch.float32),
        ("scalar:int64:0..5", (), torch.int64),
        ("2x3:float64", (2, 3), torch.float64),
        ("2x3:bfloat16", (2, 3), torch.bfloat16),
        ("2x3:complex64", (2, 3), torch.complex64),
        ("2x3:uint8", (2, 3), torch.uint8),
        ("2x3:bool", (2, 3), torch.bool),
        (" 2x3 ", (2, 3), torch.float32),
    ],
)
def test_shape_and_dtype(spec, shape, dtype):
    """float32 unless said otherwise."""
    (tensor,), named = tensors_of((spec,))
    assert (tuple(tensor.shape), tensor.dtype, named) == (shape, dtype, {})


@pytest.mark.parametrize(
    ("spec", "low", "high"),
    [
        ("1000:int64:0..100", 0, 99),
        ("1000:int64:-5..-1", -5, -2),
        ("1000:int64", 0, 1),
        ("1000:float32:-0.5..0.5", -0.5, 0.5),
        ("1000:float64:10..11", 10.0, 11.0),
    ],
)
def test_ranges(spec, low, high):
    """Integers stay below HIGH; all of the range is used."""
    (tensor,), _ = tensors_of((spec,))
    assert low <= tensor.min() <= low + (high - low) * 0.1
    assert high - (high - low) * 0.1 <= tensor.max() <= high


def test_bool_is_half_true():
    """A mask that masks."""
    (tensor,), _ = tensors_of(("1000:bool",))
    assert 400 < tensor.sum() < 600


def test_floats_are_normal():
    """Mean 0, standard deviation 1."""
    (tensor,), _ = tensors_of(("100x100",))
    torch.testing.assert_close(tensor.mean(), torch.tensor(0.0), atol=0.05, rtol=0)
    torch.testing.assert_close(tensor.std(), torch.tensor(1.0), atol=0.05, rtol=0)


def test_positional_and_named_arguments():
    """Positional ones keep their order."""
    args, kwargs = tensors_of(("2x3", "mask=2x2:bool", "4:int64", "key_2=5"))
    assert [tuple(item.shape) for item in args] == [(2, 3), (4,)]
    assert {name: tuple(item.shape) for name, item in kwargs.items()} == {
        "mask": (2, 2),
        "key_2": (5,),
    }
    assert tensors_of(()) == ((), {})


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("", "SHAPE[:DTYPE[:LOW..HIGH]]"),
        ("2by3", "SHAPE[:DTYPE[:LOW..HIGH]]"),
        ("2x3:", "SHAPE[:DTYPE[:LOW..HIGH]]"),
        ("-2x3", "SHAPE[:DTYPE[:LOW..HIGH]]"),
        ("2x3:float32:1.2.3..4", "SHAPE[:DTYPE[:LOW..HIGH]]"),
        ("2mask=2x3", "SHAPE[:DTYPE[:LOW..HIGH]]"),
        ("2x3:int99", "a dtype of torch"),
        ("2x3:nn", "a dtype of torch"),
        ("2x3:float32:3..1", "a range such as 0..10"),
        ("2x3:float32:1..1", "a range such as 0..10"),
        ("2x3:int64:0.5..2", "whole numbers"),
        ("2x3:int8:0..1000", "cannot be drawn"),
        ("999999x999999x999999", "cannot be drawn"),
    ],
)
def test_other_forms_are_refused(spec, part):
    """The message has the spec and what would do, in one line."""
    with pytest.raises(OptionError) as caught:
        tensors_of((spec,))
    text = str(caught.value)
    assert text.startswith("--input ")
    assert part in text
    assert spec in text
    assert "\n" not in text


def test_the_message_names_the_option():
    """The target of a loss is written the same way."""
    with pytest.raises(OptionError, match="--loss-target expected"):
        tensors_of(("4by3",), "--loss-target")
