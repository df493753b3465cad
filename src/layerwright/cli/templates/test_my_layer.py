"""MyLayer against plain loops, and the contract."""

from functools import partial

import pytest
import torch
from torch.autograd import gradcheck

import layerwright as lw
from layerwright.cli.templates.my_layer import MyLayer

# How the layer is built, and what it is fed: the contract case.
INPUT = torch.randn(4, 5, 8, generator=torch.Generator().manual_seed(0))
CASE = lw.Case(partial(MyLayer, 8), INPUT)
UNBATCHED = lw.Case(
    partial(MyLayer, 8),
    INPUT[0, 0],
    traits={"batch_dim": None},
    name="MyLayer-unbatched",
)


@lw.testing.parametrize_with_rules([CASE, UNBATCHED])
def test_contract(promise: lw.testing.Promise) -> None:
    """Each promise of the contract is kept."""
    promise()


def random_layer() -> MyLayer:
    """Return a layer in float64 whose parameters are not where they start."""
    layer = MyLayer(3, dtype=torch.float64)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer


def test_agrees_with_plain_loops() -> None:
    """Each number is the formula's."""
    layer = random_layer()
    x = torch.randn(2, 3, dtype=torch.float64)
    scale, shift = layer.scale.tolist(), layer.shift.tolist()
    for received, row in zip(layer(x).tolist(), x.tolist(), strict=True):
        wanted = [a * v + b for v, a, b in zip(row, scale, shift, strict=True)]
        assert received == pytest.approx(wanted, rel=1e-12)


def test_derivatives_pass_finite_differences() -> None:
    """Gradients of input and parameters agree with finite differences."""
    layer = random_layer()
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    names, parameters = zip(*layer.named_parameters(), strict=True)

    def run(x: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        tensors = dict(zip(names, values, strict=True))
        return torch.func.functional_call(layer, tensors, (x,))

    assert gradcheck(run, (x, *parameters))


def test_a_batch_of_one_and_none_are_fed() -> None:
    """The answer has the shape of the input."""
    for shape in ((1, 3), (0, 3), (3,)):
        assert MyLayer(3)(torch.zeros(shape)).shape == shape


def test_what_does_not_fit_is_refused() -> None:
    """The message says what was expected, what was received, and the way out."""
    with pytest.raises(ValueError, match=r"received 0\. Fix: give the size"):
        MyLayer(0)
    with pytest.raises(ValueError, match=r"received \(2, 1\)\. Fix: features last"):
        MyLayer(3)(torch.zeros(2, 1))


def test_repr_shows_the_size() -> None:
    """Printing shows the arguments."""
    assert MyLayer(3).extra_repr() == "3"
